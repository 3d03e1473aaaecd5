"""How much goes wrong at a broker: the profiles `calm`, `flaky`, `slow`, `hostile`, and an installation's own.

Own ones are a line of text: `rainy: fail=20% latency=50ms..300ms; strike: reject=100%`. A known name is replaced.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec

from signalhub.brokers.models import Latency

_SHARE_PATTERN: Final = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)%", re.ASCII)
_PROFILE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)

_SYNTAX_HINT: Final = (
    "Write name: directives; with reject, fail, double, late or hang as a share such as 5%, and latency or late_by as "
    "a time such as 200ms or 50ms..2s."
)


class ChaosProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Shares from 0 to 1: `reject` is of orders, the others are of attempts.

    To `hang` is never to be answered, to `double` to be reported twice, and to be `late` to be reported `late_by` later
    than `latency` alone makes it.
    """

    reject: Decimal = Decimal(0)
    fail: Decimal = Decimal(0)
    hang: Decimal = Decimal(0)
    double: Decimal = Decimal(0)
    late: Decimal = Decimal(0)
    latency: Latency = Latency()
    late_by: Latency = Latency(timedelta(seconds=1), timedelta(seconds=3))


CALM_PROFILE: Final = ChaosProfile()
CHAOS_PROFILES: Final[Mapping[str, ChaosProfile]] = {
    "calm": CALM_PROFILE,
    "flaky": ChaosProfile(reject=Decimal("0.02"), fail=Decimal("0.15"), double=Decimal("0.05")),
    "slow": ChaosProfile(
        latency=Latency(timedelta(milliseconds=200), timedelta(milliseconds=1500)), late=Decimal("0.05")
    ),
    "hostile": ChaosProfile(
        reject=Decimal("0.10"),
        fail=Decimal("0.30"),
        hang=Decimal("0.01"),
        double=Decimal("0.20"),
        late=Decimal("0.05"),
        latency=Latency(timedelta(0), timedelta(milliseconds=500)),
    ),
}


def get_chaos_profile(name: str, custom_profiles: str = "") -> ChaosProfile:
    """The profile `name`, of `own` or ours. Raises LookupError or ValueError with a sentence."""
    known = dict(CHAOS_PROFILES) | parse_chaos_profiles(custom_profiles)
    if name not in known:
        raise LookupError(f"There is no chaos profile {name!r}; there are: {', '.join(known)}.")
    return known[name]


def parse_chaos_profiles(text: str) -> dict[str, ChaosProfile]:
    """Profiles by name. Raises ValueError with a sentence that names what is not understood."""
    found = {}
    for line in filter(None, map(str.strip, text.split(";"))):
        name, colon, directives = line.partition(":")
        if not colon or _PROFILE_NAME.fullmatch(name.strip()) is None:
            raise ValueError(f"The chaos profile {line!r} has no name before a colon. {_SYNTAX_HINT}")
        found[name.strip()] = msgspec.structs.replace(CALM_PROFILE, **dict(map(_parse_directive, directives.split())))
    return found


def _parse_directive(text: str) -> tuple[str, Decimal | Latency]:
    name, _, value = text.partition("=")
    read: Decimal | Latency | None = None
    if name in {"reject", "fail", "hang", "double", "late"}:
        read = _parse_share(value)
    elif name in {"latency", "late_by"}:
        read = Latency.parse(value)
    if read is None:
        raise ValueError(f"The chaos directive {text!r} is not understood. {_SYNTAX_HINT}")
    return name, read


def _parse_share(text: str) -> Decimal | None:
    match = _SHARE_PATTERN.fullmatch(text)
    share = Decimal(match[1]) / 100 if match else None
    return share if share is not None and share <= 1 else None
