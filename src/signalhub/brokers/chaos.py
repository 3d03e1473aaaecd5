"""Wrap a broker so that it misbehaves as real ones do, in a way that can be repeated.

Every decision is drawn from a hash of (seed, order, attempt): a retry draws anew, a second worker that decides the same
attempt draws the same. An order with a forced outcome (`#sim`) is passed through. Custom profiles are a line of text:
`rainy: fail=20% latency=50ms..300ms; strike: reject=100%`; one with a known name replaces it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from signalhub.brokers.base import Broker, BrokerError, Report
from signalhub.brokers.execution_costs import Latency, SeededRandom
from signalhub.brokers.stepper import to_moves
from signalhub.domain.order import Closed, Executed, Move, Order, PartiallyClosed, Status


class ChaosProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities from 0 to 1: of `reject` for an order, of the others for an attempt.

    `hang` is a step that never answers, `double` a report that comes twice, `late` one that comes `late_by` after the
    usual `latency`.
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

REJECTION_REASONS: Final = (
    "insufficient_margin", "market_closed", "symbol_not_tradable", "invalid_volume", "too_many_open_orders",
    "account_disabled",
)  # fmt: skip
FAILURE_REASONS: Final = (
    "requote", "off_quotes", "broker_busy", "connection_reset", "rate_limited", "trade_context_busy",
)  # fmt: skip

_HANG_S: Final = 30.0

Sleep = Callable[[float], Awaitable[None]]


class ChaosBroker:
    """A broker with injected faults. `sleep` makes it hang; a virtual clock passes one that returns at once."""

    def __init__(self, broker: Broker, profile: ChaosProfile, seed: str, *, sleep: Sleep = asyncio.sleep) -> None:
        self._broker, self._profile, self._seed, self._sleep = broker, profile, seed, sleep

    def next_due(self, order: Order) -> datetime | None:
        """Return when the broker is due plus the injected latency, so that a late report holds up no worker."""
        due = self._broker.next_due(order)
        if due is None or order.next_attempt_at is not None or order.simulation is not None:
            return due
        return due + self._report_delay(order)

    async def step(self, order: Order, now: datetime) -> Report:
        due = self.next_due(order)
        if due is None or now < due:
            return None
        if order.simulation is not None:
            return await self._broker.step(order, now)
        await self._raise_injected_failure(order)
        report = await self._broker.step(order, now)
        return self._duplicate_report(order, report) if self._occurs(order, "double", self._profile.double) else report

    async def close(self, order: Order, now: datetime) -> Move:
        """Close the order. Each request is an attempt of its own, distinguished by its time."""
        if order.simulation is None and self._occurs(order, f"by hand {now.isoformat()}", self._profile.fail):
            raise BrokerError(self._pick_reason(order, FAILURE_REASONS), permanent=False)
        return await self._broker.close(order, now)

    async def _raise_injected_failure(self, order: Order) -> None:
        chaos = self._profile
        # Drawn for the order and not for the attempt, or each retry would be another chance of rejection.
        if order.status is Status.PENDING and SeededRandom(self._seed, order.id).uniform("reject") < chaos.reject:
            raise BrokerError(self._pick_reason(order, REJECTION_REASONS), permanent=True)
        if self._occurs(order, "hang", chaos.hang):
            await self._sleep(_HANG_S)
            raise BrokerError("broker_timeout", permanent=False)
        if self._occurs(order, "fail", chaos.fail):
            raise BrokerError(self._pick_reason(order, FAILURE_REASONS), permanent=False)

    def _report_delay(self, order: Order) -> timedelta:
        rng, chaos = self._random(order), self._profile
        delay = chaos.latency.sample(rng, f"{order.status} latency")
        return delay + chaos.late_by.sample(rng) if self._occurs(order, "late", chaos.late) else delay

    def _duplicate_report(self, order: Order, report: Report) -> Report:
        """Repeat fills and closes, and add the earlier fill to a close."""
        moves = to_moves(report)
        repeated = tuple(move for move in moves if isinstance(move, Executed | PartiallyClosed | Closed))
        if order.fill_price is None or not moves:
            return (*moves, *repeated)
        return (Executed(order.fill_price, order.broker_order_id or ""), *moves, *repeated)

    def _occurs(self, order: Order, purpose: str, probability: Decimal) -> bool:
        return bool(probability) and self._random(order).uniform(f"{order.status} {purpose}") < probability

    def _pick_reason(self, order: Order, reasons: tuple[str, ...]) -> str:
        return reasons[int(self._random(order).uniform("reason") * len(reasons))]

    def _random(self, order: Order) -> SeededRandom:
        return SeededRandom(self._seed, order.id, order.attempts)


_SHARE_PATTERN: Final = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)%", re.ASCII)
_PROFILE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)

_SYNTAX_HINT: Final = (
    "Write name: directives; with reject, fail, double, late or hang as a share such as 5%, and latency or late_by as "
    "a time such as 200ms or 50ms..2s."
)


def get_chaos_profile(name: str, custom_profiles: str = "") -> ChaosProfile:
    """Return the profile `name`. Raises LookupError or ValueError with a sentence."""
    known = dict(CHAOS_PROFILES) | parse_chaos_profiles(custom_profiles)
    if name not in known:
        raise LookupError(f"There is no chaos profile {name!r}; there are: {', '.join(known)}.")
    return known[name]


def parse_chaos_profiles(text: str) -> dict[str, ChaosProfile]:
    """Return profiles by name. Raises ValueError with a sentence that names the invalid part."""
    profiles = {}
    for line in filter(None, map(str.strip, text.split(";"))):
        name, colon, directives = line.partition(":")
        if not colon or _PROFILE_NAME.fullmatch(name.strip()) is None:
            raise ValueError(f"The chaos profile {line!r} has no name before a colon. {_SYNTAX_HINT}")
        profiles[name.strip()] = msgspec.structs.replace(
            CALM_PROFILE, **dict(map(_parse_directive, directives.split()))
        )
    return profiles


def _parse_directive(text: str) -> tuple[str, Decimal | Latency]:
    name, _, value = text.partition("=")
    setting: Decimal | Latency | None = None
    if name in {"reject", "fail", "hang", "double", "late"}:
        setting = _parse_share(value)
    elif name in {"latency", "late_by"}:
        setting = Latency.parse(value)
    if setting is None:
        raise ValueError(f"The chaos directive {text!r} is not understood. {_SYNTAX_HINT}")
    return name, setting


def _parse_share(text: str) -> Decimal | None:
    match = _SHARE_PATTERN.fullmatch(text)
    share = Decimal(match[1]) / 100 if match else None
    return share if share is not None and share <= 1 else None
