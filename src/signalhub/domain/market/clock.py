"""The market's own time: microseconds since 1970, which may run faster than the wall clock's."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class MarketClock(msgspec.Struct, frozen=True):
    """`speed` counts market seconds in a second."""

    speed: Decimal = Decimal(1)

    def to_market_us(self, timestamp: datetime) -> int:
        """Market time at the instant `at`."""
        over, under = self.speed.as_integer_ratio()
        return (timestamp - _UNIX_EPOCH) // _MICROSECOND * over // under

    def to_timestamp(self, market_us: int) -> datetime:
        """The first instant at which the market has come to `reading`, to the microsecond."""
        over, under = self.speed.as_integer_ratio()
        return _UNIX_EPOCH - -market_us * under // over * _MICROSECOND
