"""`signalhub send`: a signal from the terminal."""

import sys

import click

from signalhub.cli.carets import print_problems, read_text_argument
from signalhub.cli.output import exit_with_error, print_json, print_line
from signalhub.cli.remote import run_with_client, service_options
from signalhub.client import Accepted, Client, Refused


@click.command()
@click.argument("text", nargs=-1)
@click.option("--id", "key_of_signal", help="Idempotency key: sent again with it, a signal makes no second order.")
@click.option("--simulate", help="Force the mock broker's outcome, such as outcome=take_profit or fail=3.")
@click.option("--json", "as_json", is_flag=True, help="Print the service's answer as one line of JSON.")
@service_options
def send(  # noqa: PLR0913 - as many as there are options
    text: tuple[str, ...],
    *,
    key_of_signal: str | None,
    simulate: str | None,
    as_json: bool,
    url: str | None,
    key: str | None,
) -> None:
    """Send TEXT (or what stdin has) as a signal.

    When this says so, signal and order are in the service's database. A text that is no signal is shown with a caret
    under each fault, and the exit status is 1.

    \b
    signalhub send BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890
    signalhub send --id alert-17 < signal.txt
    """  # noqa: D301 - \b is the character that click looks for
    sent = read_text_argument(text)

    async def work(client: Client) -> Accepted | Refused:
        try:
            return await client.send(sent, idempotency_key=key_of_signal, simulate=simulate)
        except Refused as error:
            if not error.problems:
                raise
            return error

    answer = run_with_client(url, key, work)
    if isinstance(answer, Refused):
        _print_refused(sent, answer, as_json=as_json)
    elif as_json:
        print_json(answer)
    else:
        _print_accepted(answer)


def _print_accepted(accepted: Accepted) -> None:
    print_line(click.style(accepted.info, fg="green", bold=True))
    again = ", sent before" if accepted.duplicate else ""
    print_line(f"  order {accepted.order_id} is {accepted.status}{again}; event {accepted.seq}")


def _print_refused(text: str, refused: Refused, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"code": refused.code, "detail": refused.detail, "status": refused.status, "errors": refused.problems}
        )
        sys.exit(1)
    print_problems(text, refused.problems)
    exit_with_error("This was refused; there is no order.")
