"""Recorded signals through grammar, order table and broker on a virtual clock: no servers, no waiting, no chance.

Orders do not know of each other, so each is led through its whole life alone; what they did is put in order of time
afterwards. The same recording in the same scenario gives the same digest, wherever it runs.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC
from decimal import Decimal
from hashlib import sha256
from multiprocessing import get_context
from typing import Final

import msgspec

from signalhub import grammar, memory
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
_PART: Final = 500
"""Signals that one process takes at a time: more than that are shared among all cores."""

_encode = msgspec.json.Encoder().encode


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`digest` is over every event of every signal: equal digests, equal runs."""

    signals: int
    refused: int
    orders: dict[str, int]
    retries: int
    performance: Performance
    digest: str


class Life(msgspec.Struct, frozen=True):
    """What became of one signal; `order` is None where it was refused."""

    order: Order | None
    retries: int
    digest: bytes


def replay(recorded: Sequence[Recorded], settings: Settings) -> Outcome:
    """What would have become of `recorded` under `settings`. Raises LookupError, ValueError for unknown names."""
    parts = [(settings, start, recorded[start : start + _PART]) for start in range(0, len(recorded), _PART)]
    if len(parts) == 1:
        return _outcome(_lives(parts[0]))
    _steps(settings)  # what is wrong with the settings is better said here than in another process
    # Forked, they have everything loaded already: begun afresh, they would take longer to start than to do the work.
    with ProcessPoolExecutor(mp_context=get_context("fork"), initializer=memory.settle) as processes:
        return _outcome([life for lives in processes.map(_lives, parts) for life in lives])


def _lives(part: tuple[Settings, int, Sequence[Recorded]]) -> list[Life]:
    return asyncio.run(_live(*part))


async def _live(settings: Settings, start: int, recorded: Sequence[Recorded]) -> list[Life]:
    steps, placing = _steps(settings), Placing.of(settings)
    return [await _life(steps, _draft(number, one, placing)) for number, one in enumerate(recorded, start)]


def _steps(settings: Settings) -> Steps:
    policy = RetryPolicy(settings.retry_attempts, settings.retry_base_s, settings.retry_cap_s)
    return Steps(chosen.broker(settings, sleep=_at_once), policy, patience_s=None)


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


async def _life(steps: Steps, drawn: Draft) -> Life:
    facts, order = list(drawn.facts), drawn.order
    if order is not None:
        order = await _end(steps, order, facts)
    retries = sum(fact.type == "order.retrying" for fact in facts)
    return Life(order, retries, sha256(b"".join(map(_encode, facts))).digest())


async def _end(steps: Steps, order: Order, facts: list[Fact]) -> Order:
    now, due = order.created_at, steps.due(order, order.created_at)
    for _ in range(_MOST_STEPS):
        if due is None:
            break
        now = max(now, due)
        progress = await steps.progress(order, now)
        order, due = progress.order, progress.due_at
        facts += progress.facts
    return order


def _outcome(lives: Sequence[Life]) -> Outcome:
    ended = [life.order for life in lives if life.order is not None]
    statuses = Counter(order.status for order in ended)
    return Outcome(
        signals=len(lives),
        refused=len(lives) - len(ended),
        orders={status.value: statuses[status] for status in Status},
        retries=sum(life.retries for life in lives),
        performance=performance(_results(ended)),
        digest=sha256(b"".join(life.digest for life in lives)).hexdigest(),
    )


def _results(ended: Iterable[Order]) -> list[Decimal]:
    closed = [(one.closed_at, one.id, one.r_multiple or Decimal(0)) for one in ended if one.closed_at is not None]
    return [result for _, _, result in sorted(closed)]
