"""`signalhub replay`: what would have become of recorded signals, without a server and without waiting."""

import os
from decimal import Decimal
from typing import BinaryIO, Final

import click
from msgspec.structs import replace

from signalhub import log, settings
from signalhub.cli.output import fail, show_json, show_rows
from signalhub.services.recordings import read
from signalhub.services.replay import Outcome
from signalhub.services.replay import replay as run
from signalhub.settings import Settings

_FIELDS: Final = {
    "speed": "market_speed",
    "seed": "broker_seed",
    "profile": "broker_profile",
    "chaos": "chaos",
}


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Seconds of the market in a second.")
@click.option("--seed", help="Another seed, other prices.")
@click.option("--profile", type=click.Choice(["demo", "market", "instant"]), help="How the mock broker trades.")
@click.option("--chaos", help="How it misbehaves: calm, flaky, slow, hostile, or one of your own.")
@click.option("--against", help='A second run to compare with, such as "chaos=hostile seed=2".')
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a run.")
def replay(file: BinaryIO, *, against: str | None, as_json: bool, **wishes: str | float | None) -> None:
    """Run the recorded signals of FILE (- is stdin) through grammar, order table and broker on a virtual clock.

    FILE has lines of JSON with "text" and "at", or a page of GET /api/v1/signals, or plain texts with an empty line
    between two. What is not said is taken from the settings. The same run gives the same figures, everywhere.

    \b
    signalhub replay signals.jsonl --profile market
    signalhub replay signals.txt --seed 1 --against "chaos=hostile"
    """  # noqa: D301 - \b is the character that click looks for
    log.configure("warning")
    first = _wished(settings.from_env(os.environ), {name: str(value) for name, value in wishes.items() if value})
    second = [_wished(first, _directives(against))] if against is not None else []
    try:
        recorded = read(file.read())
        outcomes = [run(recorded, one) for one in (first, *second)]
    except (ValueError, LookupError) as error:
        fail(str(error))
    if as_json:
        for outcome in outcomes:
            show_json(outcome)
        return
    _show(outcomes)


def _wished(found: Settings, wishes: dict[str, str]) -> Settings:
    """The settings with these instead of theirs, read as a variable would be."""
    variables = {f"{settings.PREFIX}{_FIELDS[name].upper()}": value for name, value in wishes.items()}
    read_back = settings.from_env(settings.to_env(found) | variables)
    return replace(found, **{_FIELDS[name]: getattr(read_back, _FIELDS[name]) for name in wishes})


def _directives(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split()]
    unknown = [name for name, _, _ in pairs if name not in _FIELDS]
    if unknown or not pairs:
        raise click.UsageError(f'--against takes {", ".join(_FIELDS)}, such as "chaos=hostile seed=2".')
    return {name: value for name, _, value in pairs}


def _show(outcomes: list[Outcome]) -> None:
    columns = [_figures(outcome) for outcome in outcomes]
    rows = [
        (name, *(column[name] for column in columns), *_difference([column[name] for column in columns]))
        for name in columns[0]
    ]
    show_rows(("", "FIRST", "SECOND", "DIFFERENCE")[: len(rows[0])], rows)


def _figures(outcome: Outcome) -> dict[str, str]:
    done = outcome.performance
    return {
        "signals": str(outcome.signals),
        "refused": str(outcome.refused),
        **{status: str(count) for status, count in outcome.orders.items()},
        "retries": str(outcome.retries),
        "win rate": f"{done.wins / done.closed:.4f}" if done.closed else "-",
        "expectancy R": _decimal(done.expectancy),
        "profit factor": _decimal(done.profit_factor),
        "drawdown R": _decimal(done.drawdown),
        "total R": _decimal(done.total),
        "digest": outcome.digest[:16],
    }


def _decimal(number: Decimal | None) -> str:
    return "-" if number is None else f"{number:.4f}"


def _difference(texts: list[str]) -> list[str]:
    """Second less first; of what is no number, whether it is the same."""
    if len(texts) == 1:
        return []
    first, second = texts
    try:
        return [f"{Decimal(second) - Decimal(first):+}"]
    except ArithmeticError:
        return ["same" if first == second else "differs"]
