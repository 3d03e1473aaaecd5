"""`signalhub send`: a signal from the terminal."""

import sys

import click

from signalhub.cli.carets import given, show_problems
from signalhub.cli.output import fail, say, show_json
from signalhub.cli.remote import at_service, to_service
from signalhub.client import Accepted, Client, Refused


@click.command()
@click.argument("text", nargs=-1)
@click.option("--id", "key_of_signal", help="Idempotency key: sent again with it, a signal makes no second order.")
@click.option("--simulate", help="Force the mock broker's outcome, such as outcome=take_profit or fail=3.")
@click.option("--json", "as_json", is_flag=True, help="Print the service's answer as one line of JSON.")
@to_service
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
    sent = given(text)

    async def work(client: Client) -> Accepted | Refused:
        try:
            return await client.send(sent, idempotency_key=key_of_signal, simulate=simulate)
        except Refused as error:
            if not error.problems:
                raise
            return error

    answer = at_service(url, key, work)
    if isinstance(answer, Refused):
        _refused(sent, answer, as_json=as_json)
    elif as_json:
        show_json(answer)
    else:
        _accepted(answer)


def _accepted(answer: Accepted) -> None:
    say(click.style(answer.info, fg="green", bold=True))
    again = ", sent before" if answer.duplicate else ""
    say(f"  order {answer.order_id} is {answer.status}{again}; event {answer.seq}")


def _refused(sent: str, answer: Refused, *, as_json: bool) -> None:
    if as_json:
        show_json({"code": answer.code, "detail": answer.detail, "status": answer.status, "errors": answer.problems})
        sys.exit(1)
    show_problems(sent, answer.problems)
    fail("This was refused; there is no order.")
