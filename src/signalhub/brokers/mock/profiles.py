"""How patient the mock broker is, and how much of it the market decides."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec
from msgspec.structs import replace

from signalhub.brokers.execution_costs import ExecutionCosts, Latency, parse_execution_costs

DEMO_FILL_AFTER_S: Final = 5.0
DEMO_CLOSE_AFTER_S: Final = 10.0
DEMO_SPEED_FACTOR: Final = 60
"""In `demo` the market runs this much faster, so that ten seconds show what ten minutes would."""

MARKET_CLOSE_AFTER_S: Final = 30 * 86_400.0


class MockProfile(msgspec.Struct, frozen=True, kw_only=True):
    """`fill_after` and `close_after` are waits, the second at most.

    Without a `fill_after` entries wait for their price. Without a `speed` there is no market, and prices are drawn. An
    outcome that is forced comes `forced_after` the fill.
    """

    fill_after: timedelta | None
    close_after: timedelta
    forced_outcome_after: timedelta
    execution_costs: ExecutionCosts
    market_speed: Decimal | None = None


def build_profiles(options: Mapping[str, str]) -> dict[str, MockProfile]:
    """Every profile by name. Read are `demo_fill_s`, `demo_close_s`, `market_close_s`, `market_speed`, and frictions'.

    Raises SettingsError.
    """
    at_market = parse_execution_costs(options)
    prompt = replace(at_market, latency=Latency())
    speed = Decimal(options.get("market_speed", 1))
    demo_close = timedelta(seconds=float(options.get("demo_close_s", DEMO_CLOSE_AFTER_S)))
    demo = MockProfile(
        fill_after=timedelta(seconds=float(options.get("demo_fill_s", DEMO_FILL_AFTER_S))),
        close_after=demo_close,
        forced_outcome_after=demo_close,
        execution_costs=prompt,
        market_speed=speed * DEMO_SPEED_FACTOR,
    )
    market = MockProfile(
        fill_after=None,
        close_after=timedelta(seconds=float(options.get("market_close_s", MARKET_CLOSE_AFTER_S))),
        forced_outcome_after=demo_close,
        execution_costs=at_market,
        market_speed=speed,
    )
    instant = MockProfile(
        fill_after=timedelta(0), close_after=timedelta(0), forced_outcome_after=timedelta(0), execution_costs=prompt
    )
    return {"demo": demo, "market": market, "instant": instant}
