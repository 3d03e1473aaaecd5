"""Recorded signals through grammar, order table and broker on a virtual clock: no servers, no waiting, no chance.

Orders do not know of each other, so each is led through its whole life alone; what they did is put in order of time
afterwards. The same recording in the same scenario gives the same digest, wherever it runs.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Final

import msgspec

from signalhub import grammar
from signalhub.brokers import chosen
from signalhub.domain.events import Fact
from signalhub.domain.ids import uuid7
from signalhub.domain.order import Order, Status
from signalhub.domain.performance import Performance, performance
from signalhub.domain.retry import RetryPolicy
from signalhub.services.drafts import Draft, Placing, draft
from signalhub.services.recordings import Recorded
from signalhub.services.steps import Steps
from signalhub.services.submission import Submission
from signalhub.settings import Settings

_ACCOUNT: Final = "00000000-0000-7000-8000-000000000000"
_MOST_STEPS: Final = 1000

_encode = msgspec.json.Encoder().encode


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`digest` is over every event of every order: equal digests, equal runs."""

    signals: int
    refused: int
    orders: dict[str, int]
    retries: int
    performance: Performance
    digest: str


async def replay(recorded: Sequence[Recorded], settings: Settings) -> Outcome:
    """What would have become of `recorded` under `settings`. Raises LookupError, ValueError for unknown names."""
    steps = _steps(settings)
    placing = Placing(settings.broker_profile, timedelta(seconds=settings.order_expiry_s))
    drafts = [_draft(number, one, placing) for number, one in enumerate(recorded)]
    facts: list[Fact] = [fact for one in drafts for fact in one.facts]
    ended = [await _life(steps, one.order, facts) for one in drafts if one.order is not None]
    return _outcome(drafts, ended, facts)


def _steps(settings: Settings) -> Steps:
    policy = RetryPolicy(settings.retry_attempts, settings.retry_base_s, settings.retry_cap_s)
    return Steps(chosen.broker(settings, sleep=_at_once), policy, patience_s=settings.lease_s)


async def _at_once(_seconds: float) -> None:
    """On a virtual clock nobody waits for a broker that hangs."""


def _draft(number: int, one: Recorded, placing: Placing) -> Draft:
    """Ids come from the text and its place: the dice know orders by them."""
    raw = one.text.encode()
    read = grammar.parse(raw)
    understood = read if isinstance(read, grammar.Understood) else None
    digest = sha256(f"{number}/{one.text}".encode()).digest()
    at_ms = int(one.at.timestamp() * 1000)
    sent = Submission(
        account_id=_ACCOUNT,
        credential_id="replay",
        raw=raw,
        fingerprint=digest,
        signal=understood.signal if understood else None,
        problems=read.problems if isinstance(read, grammar.Refused) else (),
        simulate=understood.simulate if understood else None,
        trace_id=digest.hex()[:32],
    )
    return draft(sent, (uuid7(at_ms, digest[:10]), uuid7(at_ms, digest[10:20])), placing, one.at.astimezone(UTC))


async def _life(steps: Steps, order: Order, facts: list[Fact]) -> Order:
    now, due = order.created_at, steps.due(order, order.created_at)
    for _ in range(_MOST_STEPS):
        if due is None:
            break
        now = max(now, due)
        progress = await steps.progress(order, now)
        order, due = progress.order, progress.due_at
        facts += progress.facts
    return order


def _outcome(drafts: Sequence[Draft], ended: Sequence[Order], facts: Sequence[Fact]) -> Outcome:
    statuses = Counter(order.status for order in ended)
    return Outcome(
        signals=len(drafts),
        refused=sum(one.order is None for one in drafts),
        orders={status.value: statuses[status] for status in Status},
        retries=sum(fact.type == "order.retrying" for fact in facts),
        performance=performance(_results(ended)),
        digest=_digest(facts),
    )


def _results(ended: Iterable[Order]) -> list[Decimal]:
    closed: list[tuple[datetime, str, Decimal]] = [
        (order.closed_at, order.id, order.r_multiple or Decimal(0)) for order in ended if order.closed_at is not None
    ]
    return [result for _, _, result in sorted(closed)]


def _digest(facts: Iterable[Fact]) -> str:
    digest = sha256()
    for fact in facts:
        digest.update(_encode(fact))
    return digest.hexdigest()
