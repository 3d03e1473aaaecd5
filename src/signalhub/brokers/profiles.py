"""How patient the mock broker is."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec


class Profile(msgspec.Struct, frozen=True):
    """Waits between acceptance and fill, and between fill and close."""

    fill_after: timedelta
    close_after: timedelta


INSTANT: Final = Profile(timedelta(0), timedelta(0))
DEMO_FILL_S: Final = 5.0
DEMO_CLOSE_S: Final = 10.0


def profiles(options: Mapping[str, str]) -> dict[str, Profile]:
    """Every profile by name; `demo_fill_s` and `demo_close_s` of the options make `demo` more or less patient."""
    demo = Profile(
        timedelta(seconds=float(options.get("demo_fill_s", DEMO_FILL_S))),
        timedelta(seconds=float(options.get("demo_close_s", DEMO_CLOSE_S))),
    )
    return {"demo": demo, "instant": INSTANT}
