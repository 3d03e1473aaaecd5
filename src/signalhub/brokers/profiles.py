"""How patient the mock broker is."""

from datetime import timedelta
from typing import Final

import msgspec


class Profile(msgspec.Struct, frozen=True):
    """Waits between acceptance and fill, and between fill and close."""

    fill_after: timedelta
    close_after: timedelta


PROFILES: Final = {
    "demo": Profile(timedelta(seconds=5), timedelta(seconds=10)),
    "instant": Profile(timedelta(0), timedelta(0)),
}
