"""The door: a text comes in, signal and order are committed, then - and only then - it is promised.

What a batch shares is one transaction; what it does not share is its fate: a submission that was here before, or that
is refused, gets its own answer.
"""

import os
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db import bulk, journal, orders, signals
from signalhub.brokers.base import Broker
from signalhub.domain.errors import Problem, SignalHubError
from signalhub.domain.events import Event
from signalhub.domain.ids import uuid7
from signalhub.domain.order import Order
from signalhub.services.drafts import Draft, Placing, draft, refusal
from signalhub.services.group_commit import GroupCommit
from signalhub.services.submission import Answer, Submission

Announce = Callable[[Sequence[Event], Sequence[str]], None]
"""Told, after the commit, of new events and of orders that are due already. Must not raise and must not wait."""

_encode = msgspec.json.Encoder().encode
_decode_answer = msgspec.json.Decoder(Answer).decode


class Intake:
    def __init__(
        self, engine: AsyncEngine, broker: Broker, announce: Announce, *, placing: Placing, queue: int = 4096
    ) -> None:
        self._engine, self._broker, self._announce, self._placing = engine, broker, announce, placing
        self._door: GroupCommit[Submission, bytes] = GroupCommit(self._commit, queue=queue)
        self._in_flight: set[tuple[str, str]] = set()

    async def accept(self, submission: Submission) -> bytes:
        """The JSON of the answer, after the commit; `duplicate` in it is true where the signal was here before.

        Raises the refusal of a text that is no signal (which is stored too), `idempotency_in_flight`,
        `idempotency_mismatch`, `unavailable`.
        """
        if submission.idempotency_key is None:
            return await self._door.submit(submission)
        name = (submission.account_id, submission.idempotency_key)
        if name in self._in_flight:
            raise _in_flight()
        self._in_flight.add(name)
        try:
            return await self._door.submit(submission)
        finally:
            self._in_flight.discard(name)

    async def _commit(self, batch: Sequence[Submission]) -> list[bytes | SignalHubError]:
        async with self._engine.connect() as connection:
            known = await self._recognise(connection, batch)
            fresh = [_as_mismatch(item, verdict) for item, verdict in zip(batch, known, strict=True)]
            drafts, events, answers = await self._store(connection, [item for item in fresh if item is not None])
            await connection.commit()
        self._announce(events, self._due(drafts))
        stored = iter(answers)
        return [
            next(stored) if item is not None else verdict or _in_flight()
            for item, verdict in zip(fresh, known, strict=True)
        ]

    async def _recognise(
        self, connection: AsyncConnection, batch: Sequence[Submission]
    ) -> list[bytes | SignalHubError | None]:
        """For each submission the answer it had before, a reason to refuse it, or None where it is new."""
        verdicts: list[bytes | SignalHubError | None] = [None] * len(batch)
        asked = [(place, probe) for place, item in enumerate(batch) if (probe := _probe(item)) is not None]
        if not asked:
            return verdicts
        probes = [probe for _, probe in asked]
        free = await signals.try_lock(connection, probes)
        # After the locks: only now is what the holder before us committed to be seen.
        earlier = await signals.earlier(connection, probes)
        seen: set[str] = set()
        for (place, probe), is_free, first in zip(asked, free, earlier, strict=True):
            if first is not None:
                verdicts[place] = _again(probe, first)
            elif not is_free or probe.lock_name in seen:
                verdicts[place] = _in_flight()
            seen.add(probe.lock_name)
        return verdicts

    async def _store(
        self, connection: AsyncConnection, fresh: Sequence[Submission]
    ) -> tuple[list[Draft], list[Event], list[bytes | SignalHubError]]:
        if not fresh:
            return [], [], []
        heads = await journal.lock(connection, {item.account_id for item in fresh})
        ids = _ids(heads.now, len(fresh))
        drafts = [draft(item, pair, self._placing, heads.now) for item, pair in zip(fresh, ids, strict=True)]
        events, parts = journal.place(heads, [fact for one in drafts for fact in one.facts])
        places = iter(events)
        answers = [_answer(one, [next(places) for _ in one.facts]) for one in drafts]
        rows = [one.row(_stored(answer)) for one, answer in zip(drafts, answers, strict=True)]
        placed = [(one.order, self._first_due(one.order)) for one in drafts if one.order is not None]
        parts += [signals.insert(rows, heads.now), *([orders.insert(placed, heads.now)] if placed else [])]
        await bulk.run(connection, parts)
        return drafts, events, answers

    def _first_due(self, order: Order) -> datetime | None:
        due = self._broker.next_due(order)
        return order.created_at + orders.HEAD_START if due == order.created_at else due

    def _due(self, drafts: Sequence[Draft]) -> list[str]:
        """The orders that need not wait for the clock."""
        placed = [one.order for one in drafts if one.order is not None]
        return [order.id for order in placed if self._broker.next_due(order) == order.created_at]


def _probe(item: Submission) -> signals.Probe | None:
    if item.signal is None or (item.idempotency_key is None and not item.duplicate_window_s):
        return None
    return signals.Probe(item.account_id, item.idempotency_key, item.hook_id, item.fingerprint, item.duplicate_window_s)


def _again(probe: signals.Probe, first: signals.Earlier) -> bytes | SignalHubError:
    if first.fingerprint != probe.fingerprint:
        return SignalHubError("idempotency_mismatch")
    return _encode(replace(_decode_answer(first.answer), duplicate=True))


def _as_mismatch(item: Submission, verdict: bytes | SignalHubError | None) -> Submission | None:
    """What of `item` is to be stored: all of it if new, a refusal if its key spoke of another body, else nothing."""
    if verdict is None:
        return item
    if isinstance(verdict, SignalHubError) and verdict.code == "idempotency_mismatch":
        hint = f"The key {item.idempotency_key} was used for another text; use a new key for a new signal."
        return replace(item, signal=None, problems=(Problem(code=verdict.code, hint=hint),))
    return None


def _answer(one: Draft, events: list[Event]) -> bytes | SignalHubError:
    return refusal(one.submission.problems) if one.order is None else _encode(one.answer(events))


def _stored(answer: bytes | SignalHubError) -> bytes:
    return _encode(answer.problems) if isinstance(answer, SignalHubError) else answer


def _ids(now: datetime, count: int) -> list[tuple[str, str]]:
    """Ids of a signal and its order, `count` times, from one read of the system's entropy."""
    at_ms, noise = int(now.timestamp() * 1000), os.urandom(20 * count)
    return [
        (uuid7(at_ms, noise[at : at + 10]), uuid7(at_ms, noise[at + 10 : at + 20])) for at in range(0, 20 * count, 20)
    ]


def _in_flight() -> SignalHubError:
    return SignalHubError(
        "idempotency_in_flight", "The first request with this key is still running; ask again.", retry_after=1
    )
