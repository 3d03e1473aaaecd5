"""`signalhub replay`: what would have become of recorded signals, without a server and without waiting."""

import os
from decimal import Decimal
from typing import BinaryIO, Final

import click

from signalhub import log, settings
from signalhub.cli.output import exit_with_error, print_json, print_table
from signalhub.services.replay import ReplayResult, read_recording
from signalhub.services.replay import replay as run
from signalhub.settings import Settings

_VARIABLES: Final = {
    "speed": "MARKET_SPEED",
    "seed": "BROKER_SEED",
    "profile": "BROKER_PROFILE",
    "chaos": "CHAOS",
}


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Seconds of the market in a second.")
@click.option("--seed", help="Another seed, other prices.")
@click.option("--profile", type=click.Choice(["demo", "market", "instant"]), help="How the mock broker trades.")
@click.option("--chaos", help="How it misbehaves: calm, flaky, slow, hostile, or one of your own.")
@click.option("--against", help='A second run to compare with, such as "chaos=hostile seed=2".')
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a run.")
def replay(file: BinaryIO, *, against: str | None, as_json: bool, **overrides: str | float | None) -> None:
    """Run the recorded signals of FILE (- is stdin) through grammar, order table and broker on a virtual clock.

    FILE has lines of JSON with "text" and "at", or a page of GET /api/v1/signals, or plain texts with an empty line
    between two. What is not said is taken from the settings. The same run gives the same figures, everywhere.

    \b
    signalhub replay signals.jsonl --profile market
    signalhub replay signals.txt --seed 1 --against "chaos=hostile"
    """  # noqa: D301 - \b is the character that click looks for
    log.configure("warning")
    first = _override_settings(
        settings.from_env(os.environ), {name: str(value) for name, value in overrides.items() if value}
    )
    second = [_override_settings(first, _parse_overrides(against))] if against is not None else []
    try:
        recorded = read_recording(file.read())
        outcomes = [run(recorded, one) for one in (first, *second)]
    except (ValueError, LookupError) as error:
        exit_with_error(str(error))
    if as_json:
        for outcome in outcomes:
            print_json(outcome)
        return
    _print_comparison(outcomes)


def _override_settings(found: Settings, overrides: dict[str, str]) -> Settings:
    """Return the settings with some replaced, read as their variables would be."""
    variables = {settings.ENV_PREFIX + _VARIABLES[name]: value for name, value in overrides.items()}
    return settings.from_env(settings.to_env(found) | variables)


def _parse_overrides(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split()]
    unknown = [name for name, _, _ in pairs if name not in _VARIABLES]
    if unknown or not pairs:
        raise click.UsageError(f'--against takes {", ".join(_VARIABLES)}, such as "chaos=hostile seed=2".')
    return {name: value for name, _, value in pairs}


def _print_comparison(outcomes: list[ReplayResult]) -> None:
    columns = [_format_outcome(outcome) for outcome in outcomes]
    rows = [
        (name, *(column[name] for column in columns), *_compare([column[name] for column in columns]))
        for name in columns[0]
    ]
    print_table(("", "FIRST", "SECOND", "DIFFERENCE")[: len(rows[0])], rows)


def _format_outcome(outcome: ReplayResult) -> dict[str, str]:
    done = outcome.performance
    return {
        "signals": str(outcome.signals),
        "refused": str(outcome.refused),
        **{status: str(count) for status, count in outcome.orders.items()},
        "retries": str(outcome.retries),
        "win rate": f"{done.wins / done.closed:.4f}" if done.closed else "-",
        "expectancy R": _format_decimal(done.expectancy),
        "profit factor": _format_decimal(done.profit_factor),
        "drawdown R": _format_decimal(done.drawdown),
        "total R": _format_decimal(done.total),
        "digest": outcome.digest[:16],
    }


def _format_decimal(number: Decimal | None) -> str:
    return "-" if number is None else f"{number:.4f}"


def _compare(values: list[str]) -> list[str]:
    """Second less first; of what is no number, whether it is the same."""
    if len(values) == 1:
        return []
    first, second = values
    try:
        return [f"{Decimal(second) - Decimal(first):+}"]
    except ArithmeticError:
        return ["same" if first == second else "differs"]
