"""`signalhub signals`, `receipt`, `quotes` and `analytics`: what a running service knows, for people and scripts."""

from typing import Any, Final
from urllib.parse import quote as quote_path

import click
import msgspec

from signalhub.cli.output import json_option, make_printable, print_line, print_note
from signalhub.cli.send import run_with_client, service_options, to_plain_symbol
from signalhub.cli.tables import print_table
from signalhub.client import Client

MAX_PAGE_SIZE: Final = 500
_SIGNALS_HEADER: Final = ("RECEIVED", "SIGNAL", "RESULT", "WHY", "TEXT")


@click.command()
@click.option("--status", type=click.Choice(["accepted", "rejected"]), help="Only accepted or only rejected signals.")
@click.option("--limit", type=click.IntRange(1, MAX_PAGE_SIZE), default=20, show_default=True, help="Maximum number.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each signal.")
@service_options
def signals(*, status: str | None, limit: int, as_json: bool, url: str | None, key: str | None) -> None:
    """List the texts that were sent, accepted or not, the newest first."""
    params = {"limit": limit} if status is None else {"limit": limit, "status": status}
    body = run_with_client(url, key, lambda client: client.request("GET", "/api/v1/signals", **params))
    items = msgspec.json.decode(body, type=_ItemPage).items
    if as_json:
        for item in items:
            click.echo(bytes(item))
        return
    print_table(_SIGNALS_HEADER, [_to_signal_row(bytes(item)) for item in items], dropped_first=("RECEIVED", "WHY"))
    if not items:
        print_note("There are no signals.")


class _ItemPage(msgspec.Struct):
    items: list[msgspec.Raw]


class _SignalError(msgspec.Struct):
    code: str


class _SignalItem(msgspec.Struct):
    id: str
    accepted: bool
    raw: str
    received_at: str
    errors: list[_SignalError] | None


def _to_signal_row(body: bytes) -> tuple[str, ...]:
    item = msgspec.json.decode(body, type=_SignalItem)
    return (
        item.received_at[:19].replace("T", " "),
        item.id,
        "accepted" if item.accepted else "rejected",
        ",".join(dict.fromkeys(error.code for error in item.errors or ())) or "-",
        " ".join(item.raw.split()),
    )


@click.command()
@click.argument("signal_id")
@json_option
@service_options
def receipt(signal_id: str, *, as_json: bool, url: str | None, key: str | None) -> None:
    """Show what became of the signal SIGNAL_ID: its text, its events, and how long each stage took."""
    body = _fetch(f"/api/v1/receipts/{quote_path(signal_id, safe='')}", url, key)
    if as_json:
        click.echo(body)
        return
    document: dict[str, Any] = msgspec.json.decode(body)
    signal = document["signal"]
    print_line(click.style(f"Signal {signal['id']}, received {signal['received_at']}", bold=True))
    for line in signal["raw"].splitlines():
        print_line(f"  {make_printable(line)}")
    for problem in signal["errors"] or ():
        print_line(click.style(f"  {problem['code']}: {make_printable(problem['hint'])}", fg="red"))
    for event in document["events"]:
        print_line(f"{event['seq']:>6}  {event['at']}  {event['type']}")
    for name, stage in document["stages"].items():
        print_line(f"  {name:<18} " + ("-" if stage is None else f"{stage['at']}  {stage['ms']:>10.1f} ms"))
    order = document["order"]
    if order is not None:
        failure = f", {order['attempts']} attempts, last: {order['reason']}" if order["reason"] else ""
        print_line(f"Order {order['id']} is {order['status']}{failure}")


@click.command()
@click.argument("symbol")
@click.option("--interval", type=click.Choice(["1s", "15s", "1m", "5m", "15m", "1h", "4h", "1d"]), default="1m")
@click.option("--count", type=click.IntRange(0, 300), default=0, show_default=True, help="Number of candles.")
@click.option("--at", "start", help="Time of the price, such as 2026-01-01T12:00:00Z. Default: now.")
@json_option
@service_options
def quotes(  # noqa: PLR0913 - one for each option
    symbol: str, *, interval: str, count: int, start: str | None, as_json: bool, url: str | None, key: str | None
) -> None:
    """Show the price of SYMBOL in the mock market, with the candles that lead to it."""
    params: dict[str, str | int] = {"interval": interval, "count": count}
    if start is not None:
        params["at"] = start
    body = _fetch(f"/api/v1/quotes/{quote_path(to_plain_symbol(symbol), safe='')}", url, key, **params)
    if as_json:
        click.echo(body)
        return
    document: dict[str, Any] = msgspec.json.decode(body)
    print_line(click.style(f"{document['symbol']}  bid {document['bid']}  ask {document['ask']}", bold=True))
    print_line(f"mid {document['mid']} at {document['at']}")
    names = ("at", "open", "high", "low", "close")
    if document["candles"]:
        rows = [[candle[name] for name in names] for candle in document["candles"]]
        print_table([name.upper() for name in names], rows)


_PERFORMANCE_NAMES: Final = ("name", "closed", "wins", "win_rate", "expectancy", "profit_factor", "drawdown")


@click.command()
@click.option("--by", type=click.Choice(["symbol", "credential", "day"]), default="symbol", show_default=True)
@json_option
@service_options
def analytics(*, by: str, as_json: bool, url: str | None, key: str | None) -> None:
    """Show counts of signals and orders, and the results by symbol, credential or day, in units of the risk."""
    body = _fetch("/api/v1/analytics", url, key)
    if as_json:
        click.echo(body)
        return
    document: dict[str, Any] = msgspec.json.decode(body)
    print_line(f"{document['total_signals']} signals, {document['rejected_signals']} of them rejected")
    counts = ", ".join(f"{count} {status}" for status, count in document["by_status"].items() if count)
    print_line(f"{document['total_orders']} orders{': ' if counts else ''}{counts}")
    rows = [
        ["-" if row[name] is None else str(row[name]) for name in _PERFORMANCE_NAMES]
        for row in document["performance"][by]
    ]
    header = [by.upper(), *(name.upper().replace("_", " ") for name in _PERFORMANCE_NAMES[1:])]
    print_table(header, rows, dropped_first=("PROFIT FACTOR", "DRAWDOWN", "WINS"))


def _fetch(path: str, url: str | None, key: str | None, **params: str | int) -> bytes:
    async def fetch(client: Client) -> bytes:
        return await client.request("GET", path, **params)

    return run_with_client(url, key, fetch)
