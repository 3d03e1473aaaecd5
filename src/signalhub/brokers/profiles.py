"""How patient the mock broker is, and how much of it the market decides."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec

DEMO_FILL_S: Final = 5.0
DEMO_CLOSE_S: Final = 10.0
DEMO_PACE: Final = 60
"""In `demo` the market runs this much faster, so that ten seconds show what ten minutes would."""

MARKET_CLOSE_S: Final = 30 * 86_400.0


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """`fill_after` and `close_after` are waits, the second at most.

    Without a `fill_after` entries wait for their price. Without a `speed` there is no market, and prices are drawn. An
    outcome that is forced comes `forced_after` the fill. `latency` is from the wish to trade to the trade.
    """

    fill_after: timedelta | None
    close_after: timedelta
    forced_after: timedelta
    latency: timedelta = timedelta(0)
    speed: Decimal | None = None


INSTANT: Final = Profile(fill_after=timedelta(0), close_after=timedelta(0), forced_after=timedelta(0))


def profiles(options: Mapping[str, str]) -> dict[str, Profile]:
    """Every profile by name. The options read are `demo_fill_s`, `demo_close_s`, `market_close_s`, `market_speed`."""
    speed = Decimal(options.get("market_speed", 1))
    demo_close = timedelta(seconds=float(options.get("demo_close_s", DEMO_CLOSE_S)))
    demo = Profile(
        fill_after=timedelta(seconds=float(options.get("demo_fill_s", DEMO_FILL_S))),
        close_after=demo_close,
        forced_after=demo_close,
        speed=speed * DEMO_PACE,
    )
    market = Profile(
        fill_after=None,
        close_after=timedelta(seconds=float(options.get("market_close_s", MARKET_CLOSE_S))),
        forced_after=demo_close,
        latency=timedelta(milliseconds=200),
        speed=speed,
    )
    return {"demo": demo, "market": market, "instant": INSTANT}
