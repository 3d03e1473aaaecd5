"""The profiles of the mock broker: waits, costs and the speed of the market."""

from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec
from msgspec.structs import replace

from signalhub.brokers.execution_costs import ExecutionCosts, Latency, build_execution_costs
from signalhub.brokers.mock.prices import MarketClock
from signalhub.settings import BrokerSettings

DEMO_SPEED_FACTOR: Final = 60
"""How much faster the market of `demo` runs: ten seconds show what ten minutes would."""


class MockProfile(msgspec.Struct, frozen=True, kw_only=True):
    """How long a profile waits, what it charges and how fast its market runs.

    Without `fill_after` entries wait for their price. A position is closed `close_after` its fill at the latest, a
    forced outcome comes `forced_outcome_after` it. Without a `clock` there is no market and prices are drawn.
    """

    fill_after: timedelta | None
    close_after: timedelta
    forced_outcome_after: timedelta
    execution_costs: ExecutionCosts
    clock: MarketClock | None = None


def build_profiles(settings: BrokerSettings) -> dict[str, MockProfile]:
    """Build every profile by name. Raises SettingsError."""
    costs = build_execution_costs(settings)
    costs_without_latency = replace(costs, latency=Latency())
    speed = Decimal(str(settings.market_speed))
    demo_close = timedelta(seconds=settings.demo_close_s)
    demo = MockProfile(
        fill_after=timedelta(seconds=settings.demo_fill_s),
        close_after=demo_close,
        forced_outcome_after=demo_close,
        execution_costs=costs_without_latency,
        clock=MarketClock(speed * DEMO_SPEED_FACTOR),
    )
    market = MockProfile(
        fill_after=None,
        close_after=timedelta(seconds=settings.market_close_s),
        forced_outcome_after=demo_close,
        execution_costs=costs,
        clock=MarketClock(speed),
    )
    instant = MockProfile(
        fill_after=timedelta(0),
        close_after=timedelta(0),
        forced_outcome_after=timedelta(0),
        execution_costs=costs_without_latency,
    )
    return {"demo": demo, "market": market, "instant": instant}
