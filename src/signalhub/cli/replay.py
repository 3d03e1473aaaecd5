"""`signalhub replay`: run recorded signals through the mock broker, without a server and without waiting."""

import os
from decimal import Decimal
from typing import BinaryIO, Final

import click

from signalhub import logging_setup
from signalhub.cli.output import exit_with_error, get_color, print_json
from signalhub.cli.tables import print_table
from signalhub.services.offline_replay import ReplayResult, read_recording
from signalhub.services.offline_replay import replay as run
from signalhub.settings import ENV_PREFIX, Settings, from_env, to_env

_VARIABLES: Final = {
    "speed": "MARKET_SPEED",
    "seed": "BROKER_SEED",
    "profile": "BROKER_PROFILE",
    "chaos": "CHAOS",
}


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Market seconds per second.")
@click.option("--seed", help="Seed of the simulated prices.")
@click.option("--profile", type=click.Choice(["demo", "market", "instant"]), help="How the mock broker trades.")
@click.option("--chaos", help="Broker faults: calm, flaky, slow, hostile, or a profile of your own.")
@click.option("--against", help='A second run to compare with, such as "chaos=hostile seed=2".')
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each run.")
def replay(file: BinaryIO, *, against: str | None, as_json: bool, **overrides: str | float | None) -> None:
    """Run the recorded signals of FILE through grammar, orders and broker on a virtual clock.

    FILE (- is stdin) has lines of JSON with "text" and "at", or a page of GET /api/v1/signals, or plain texts separated
    by empty lines. Options that are not given are taken from the settings. The same run gives the same figures
    everywhere.

    \b
    signalhub replay signals.jsonl --profile market
    signalhub replay signals.txt --seed 1 --against "chaos=hostile"
    """  # noqa: D301 - \b is the character that click looks for
    logging_setup.configure("warning", color=get_color())
    first = _override_settings(from_env(os.environ), {name: str(value) for name, value in overrides.items() if value})
    second = [_override_settings(first, _parse_overrides(against))] if against is not None else []
    try:
        recorded = read_recording(file.read())
        outcomes = [run(recorded, settings) for settings in (first, *second)]
    except (ValueError, LookupError) as error:
        exit_with_error(str(error))
    if as_json:
        for outcome in outcomes:
            print_json(outcome)
        return
    _print_comparison(outcomes)


def _override_settings(settings: Settings, overrides: dict[str, str]) -> Settings:
    """Return the settings with some replaced, read as their variables would be."""
    variables = {ENV_PREFIX + _VARIABLES[name]: value for name, value in overrides.items()}
    return from_env(to_env(settings) | variables)


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
    performance = outcome.performance
    return {
        "signals": str(outcome.signals),
        "refused": str(outcome.refused),
        **{status: str(count) for status, count in outcome.orders.items()},
        "retries": str(outcome.retries),
        "win rate": f"{performance.wins / performance.closed:.4f}" if performance.closed else "-",
        "expectancy R": _format_decimal(performance.expectancy),
        "profit factor": _format_decimal(performance.profit_factor),
        "drawdown R": _format_decimal(performance.drawdown),
        "total R": _format_decimal(performance.total),
        "digest": outcome.digest[:16],
    }


def _format_decimal(number: Decimal | None) -> str:
    return "-" if number is None else f"{number:.4f}"


def _compare(values: list[str]) -> list[str]:
    """Return second minus first; for other values, whether they are the same."""
    if len(values) == 1:
        return []
    first, second = values
    try:
        return [f"{Decimal(second) - Decimal(first):+}"]
    except ArithmeticError:
        return ["same" if first == second else "differs"]
