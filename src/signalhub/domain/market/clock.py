"""The market's own time: microseconds since 1970, which may run faster than the wall clock's."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class Clock(msgspec.Struct, frozen=True):
    """`speed` counts market seconds in a second."""

    speed: Decimal = Decimal(1)

    def reading(self, at: datetime) -> int:
        """Market time at the instant `at`."""
        over, under = self.speed.as_integer_ratio()
        return (at - _BEGIN) // _US * over // under

    def instant(self, reading: int) -> datetime:
        """The first instant at which the market has come to `reading`, to the microsecond."""
        over, under = self.speed.as_integer_ratio()
        return _BEGIN - -reading * under // over * _US
