"""The door: a text comes in, signal and order are committed, then - and only then - it is promised.

What a batch shares is one transaction; what it does not share is its fate: a submission that was here before, or that
is refused, gets its own answer.
"""

import os
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db import bulk, event_log, orders, signals
from signalhub.brokers.base import Broker
from signalhub.domain.errors import Problem, SignalHubError
from signalhub.domain.events import Event, Publish
from signalhub.domain.identifiers import uuid7
from signalhub.domain.order import Order
from signalhub.protocol import Accepted
from signalhub.services.group_commit import GroupCommit
from signalhub.services.records import (
    NewSignalRecords,
    OrderDefaults,
    Submission,
    build_records,
    to_refusal_error,
)

_encode = msgspec.json.Encoder().encode
_decode_accepted = msgspec.json.Decoder(Accepted).decode


class Ingest:
    def __init__(
        self,
        engine: AsyncEngine,
        broker: Broker,
        publish: Publish,
        *,
        order_defaults: OrderDefaults,
        max_pending: int = 4096,
    ) -> None:
        self._engine, self._broker, self._publish, self._order_defaults = engine, broker, publish, order_defaults
        self._group_commit: GroupCommit[Submission, bytes] = GroupCommit(self._commit_batch, max_pending=max_pending)
        self._in_flight_keys: set[tuple[str, str]] = set()

    async def accept(self, submission: Submission) -> bytes:
        """The JSON of the answer, after the commit; `duplicate` in it is true where the signal was here before.

        Raises the refusal of a text that is no signal (which is stored too), `idempotency_in_flight`,
        `idempotency_mismatch`, `unavailable`.
        """
        if submission.idempotency_key is None:
            return await self._group_commit.submit(submission)
        name = (submission.account_id, submission.idempotency_key)
        if name in self._in_flight_keys:
            raise _in_flight_error()
        self._in_flight_keys.add(name)
        try:
            return await self._group_commit.submit(submission)
        finally:
            self._in_flight_keys.discard(name)

    async def _commit_batch(self, batch: Sequence[Submission]) -> list[bytes | SignalHubError]:
        async with self._engine.connect() as connection:
            known = await self._find_duplicates(connection, batch)
            fresh = [_to_stored_submission(item, verdict) for item, verdict in zip(batch, known, strict=True)]
            drafts, events, answers = await self._store_new(connection, [item for item in fresh if item is not None])
            await connection.commit()
        self._publish(events, self._immediately_due_order_ids(drafts))
        stored = iter(answers)
        return [
            next(stored) if item is not None else verdict or _in_flight_error()
            for item, verdict in zip(fresh, known, strict=True)
        ]

    async def _find_duplicates(
        self, connection: AsyncConnection, batch: Sequence[Submission]
    ) -> list[bytes | SignalHubError | None]:
        """For each submission the answer it had before, a reason to refuse it, or None where it is new."""
        verdicts: list[bytes | SignalHubError | None] = [None] * len(batch)
        asked = [(place, probe) for place, item in enumerate(batch) if (probe := _to_duplicate_check(item)) is not None]
        if not asked:
            return verdicts
        probes = [probe for _, probe in asked]
        free = await signals.try_lock(connection, probes)
        # After the locks: only now is what the holder before us committed to be seen.
        earlier = await signals.find_previous(connection, probes)
        seen: set[str] = set()
        for (place, probe), is_free, first in zip(asked, free, earlier, strict=True):
            if first is not None:
                verdicts[place] = _duplicate_answer(probe, first)
            elif not is_free or probe.lock_name in seen:
                verdicts[place] = _in_flight_error()
            seen.add(probe.lock_name)
        return verdicts

    async def _store_new(
        self, connection: AsyncConnection, submissions: Sequence[Submission]
    ) -> tuple[list[NewSignalRecords], list[Event], list[bytes | SignalHubError]]:
        if not submissions:
            return [], [], []
        heads = await event_log.lock_heads(connection, {item.account_id for item in submissions})
        ids = _generate_ids(heads.now, len(submissions))
        drafts = [
            build_records(item, pair, self._order_defaults, heads.now)
            for item, pair in zip(submissions, ids, strict=True)
        ]
        events, parts = event_log.assign_sequence(heads, [fact for one in drafts for fact in one.new_events])
        places = iter(events)
        answers = [_encode_answer(one, [next(places) for _ in one.new_events]) for one in drafts]
        rows = [one.to_row(_encode_stored_answer(answer)) for one, answer in zip(drafts, answers, strict=True)]
        placed = [(one.order, self._first_due_at(one.order)) for one in drafts if one.order is not None]
        parts += [signals.insert(rows, heads.now), *([orders.insert(placed, heads.now)] if placed else [])]
        await bulk.execute(connection, parts)
        return drafts, events, answers

    def _first_due_at(self, order: Order) -> datetime | None:
        due = self._broker.next_due(order)
        return order.created_at + orders.SCHEDULER_GRACE if due == order.created_at else due

    def _immediately_due_order_ids(self, records: Sequence[NewSignalRecords]) -> list[str]:
        """The orders that need not wait for the clock."""
        placed = [one.order for one in records if one.order is not None]
        return [order.id for order in placed if self._broker.next_due(order) == order.created_at]


def _to_duplicate_check(submission: Submission) -> signals.DuplicateCheck | None:
    if submission.signal is None or (submission.idempotency_key is None and not submission.duplicate_window_s):
        return None
    return signals.DuplicateCheck(
        submission.account_id,
        submission.idempotency_key,
        submission.hook_id,
        submission.fingerprint,
        submission.duplicate_window_s,
    )


def _duplicate_answer(check: signals.DuplicateCheck, previous: signals.PreviousSignal) -> bytes | SignalHubError:
    if previous.fingerprint != check.fingerprint:
        return SignalHubError("idempotency_mismatch")
    return _encode(replace(_decode_accepted(previous.answer), duplicate=True))


def _to_stored_submission(submission: Submission, verdict: bytes | SignalHubError | None) -> Submission | None:
    """What of `item` is to be stored: all of it if new, a refusal if its key spoke of another body, else nothing."""
    if verdict is None:
        return submission
    if isinstance(verdict, SignalHubError) and verdict.code == "idempotency_mismatch":
        hint = f"The key {submission.idempotency_key} was used for another text; use a new key for a new signal."
        return replace(submission, signal=None, problems=(Problem(code=verdict.code, hint=hint),))
    return None


def _encode_answer(records: NewSignalRecords, events: list[Event]) -> bytes | SignalHubError:
    return (
        to_refusal_error(records.submission.problems) if records.order is None else _encode(records.to_accepted(events))
    )


def _encode_stored_answer(answer: bytes | SignalHubError) -> bytes:
    return _encode(answer.problems) if isinstance(answer, SignalHubError) else answer


def _generate_ids(now: datetime, count: int) -> list[tuple[str, str]]:
    """Ids of a signal and its order, `count` times, from one read of the system's entropy."""
    at_ms, noise = int(now.timestamp() * 1000), os.urandom(20 * count)
    return [
        (uuid7(at_ms, noise[at : at + 10]), uuid7(at_ms, noise[at + 10 : at + 20])) for at in range(0, 20 * count, 20)
    ]


def _in_flight_error() -> SignalHubError:
    return SignalHubError(
        "idempotency_in_flight", "The first request with this key is still running; ask again.", retry_after_s=1
    )
