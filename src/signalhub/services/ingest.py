"""Ingest a signal: parse it, commit the signal and its order, then return the answer.

Signals that arrive together share one transaction and nothing else: a duplicate or a refusal gets its own answer and
does not touch the rest of its batch.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec
from msgspec.structs import replace
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db import bulk, event_log, orders, signals
from db.engine import is_lock_timeout
from signalhub import grammar
from signalhub.brokers.base import Broker
from signalhub.brokers.stepper import find_next_due
from signalhub.concurrency import DeferredError
from signalhub.domain import forced_outcomes
from signalhub.domain.errors import Problem, SignalHubError, header_problem
from signalhub.domain.events import Event, Publish
from signalhub.domain.identifiers import uuid7
from signalhub.domain.order import Simulation
from signalhub.protocol import Accepted
from signalhub.services.auth import HookPrincipal, Principal
from signalhub.services.group_commit import GroupCommit
from signalhub.services.metrics import SIGNALS
from signalhub.services.signal_records import (
    OrderDefaults,
    Submission,
    SubmissionOptions,
    build_records,
    locate_option_problem,
    mask_submission,
    to_refusal_error,
)

_LOCK_TIMEOUT_S: Final = 0.05
"""How long a batch waits for an account's log before it goes on without that account."""

SIMULATE_HEADER: Final = "X-SignalHub-Simulate"
_MAX_OPTION_CHARS: Final = 255
_OPTION_HINT: Final = f"An idempotency key and a simulation are at most {_MAX_OPTION_CHARS} printable characters each."
_SIMULATION_DISABLED: Final = Problem(code="bad_simulation", hint="Outcomes cannot be forced here: send it without.")

_NO_OPTIONS: Final = SubmissionOptions()

_encode = msgspec.json.Encoder().encode
_decode_accepted = msgspec.json.Decoder(Accepted).decode
_decode_problems = msgspec.json.Decoder(tuple[Problem, ...]).decode


class AcceptedSignal(msgspec.Struct, frozen=True):
    """The answer to an accepted signal. `body` is its JSON (see `Accepted`), encoded once for database and sender."""

    order_id: str
    body: bytes


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
        self._group_commit: GroupCommit[Submission, AcceptedSignal] = GroupCommit(
            self._commit_batch, max_pending=max_pending
        )
        self._in_flight_keys: set[tuple[str, str]] = set()
        self._locked_accounts: set[str] = set()  # whose logs were held by others when last asked for

    async def receive(
        self,
        principal: Principal,
        raw: bytes,
        *,
        trace_id: str,
        options: SubmissionOptions = _NO_OPTIONS,
    ) -> AcceptedSignal:
        """Parse a text, store the signal and its order, and return the answer after the commit.

        What the request says (`options`) goes before what the text says. Raises as `accept` does.
        """
        # Before anything looks at the text: neither what is stored nor what is answered can quote a secret then. The
        # fingerprint is of the masked text too, so a resend is still recognised and no hash of a secret is kept.
        raw, options, notices = mask_submission(raw, options)
        parsed = grammar.parse(raw)
        signal, forced, problems = None, None, tuple[Problem, ...]()
        idempotency_key = options.idempotency_key
        if isinstance(parsed, grammar.RefusedText):
            problems = parsed.problems
        else:
            idempotency_key = idempotency_key or parsed.client_id
            checked = self._check_options(idempotency_key, options, parsed)
            if isinstance(checked, Problem):
                problems = (checked,)
            else:
                signal, forced = parsed.signal, checked
        hook = principal if isinstance(principal, HookPrincipal) else None
        return await self.accept(
            Submission(
                account_id=principal.account_id,
                credential_id=principal.credential_id,
                hook_id=None if hook is None else hook.credential_id,
                raw=raw,
                fingerprint=sha256(raw).digest(),
                signal=signal,
                problems=problems,
                notices=notices,
                idempotency_key=idempotency_key,
                idempotency_header=options.idempotency_header if options.idempotency_key else None,
                is_key_signed=options.is_key_signed,
                duplicate_window_s=0 if hook is None else hook.duplicate_window_s,
                simulation=forced,
                trace_id=trace_id,
            )
        )

    def _check_options(
        self, idempotency_key: str | None, options: SubmissionOptions, parsed: grammar.ParsedSignal
    ) -> Simulation | Problem | None:
        """Return the parsed simulation, None without one, or the problem of an option at its header or in the text."""
        simulate = options.simulate or parsed.simulate
        key_header = options.idempotency_header if options.idempotency_key else None
        simulate_header = SIMULATE_HEADER if options.simulate else None
        for kind, option, header in (
            ("client_id", idempotency_key, key_header),
            ("simulate", simulate, simulate_header),
        ):
            # JSON can hold what the database cannot, such as a NUL. As a 503, it would make the sender retry for ever.
            if option is not None and not (len(option) <= _MAX_OPTION_CHARS and option.isprintable()):
                return locate_option_problem(Problem(code="bad_request", hint=_OPTION_HINT), header, parsed.parts, kind)
        if not simulate:
            return None
        checked = forced_outcomes.parse(simulate) if self._order_defaults.allow_simulation else _SIMULATION_DISABLED
        if isinstance(checked, Problem):
            return locate_option_problem(checked, simulate_header, parsed.parts, "simulate")
        return checked

    async def accept(self, submission: Submission) -> AcceptedSignal:
        """Store a submission and return its answer after the commit, the earlier answer if it is a duplicate.

        Raises the refusal of a text that is no signal (the refusal is stored, too), `idempotency_in_flight`,
        `idempotency_mismatch`, `unavailable`.
        """
        key = submission.stored_key
        if key is None:
            return await self._group_commit.submit(submission)
        account_and_key = (submission.account_id, key)
        if account_and_key in self._in_flight_keys:
            raise _in_flight_error()
        self._in_flight_keys.add(account_and_key)
        try:
            return await self._group_commit.submit(submission)
        finally:
            self._in_flight_keys.discard(account_and_key)

    async def _commit_batch(self, batch: Sequence[Submission]) -> list[AcceptedSignal | SignalHubError | DeferredError]:
        """Store those submissions of a batch whose account's log is free; the others go into the next batch."""
        async with self._engine.connect() as connection:
            heads = await self._lock_heads(connection, {item.account_id for item in batch})
            ready = [item for item in batch if heads is not None and item.account_id in heads.by_account]
            results = iter(await self._store_batch(connection, ready, heads) if heads is not None else ())
        ready_accounts = set() if heads is None else heads.by_account.keys()
        return [next(results) if item.account_id in ready_accounts else DeferredError() for item in batch]

    async def _lock_heads(self, connection: AsyncConnection, account_ids: set[str]) -> event_log.LockedHeads | None:
        """Lock the logs of a batch: all of them, or, if one is held for long, those that are free."""
        heads = None
        if self._locked_accounts.isdisjoint(account_ids):  # else its batch would wait in vain once more
            try:
                # In turn with the workers, which hold a log for a few ms: skipped, a busy account would starve.
                heads = await event_log.lock_heads(connection, account_ids, lock_timeout_s=_LOCK_TIMEOUT_S)
            except DBAPIError as error:
                if not is_lock_timeout(error):
                    raise
                await connection.rollback()
        if heads is None:
            heads = await event_log.lock_free_heads(connection, account_ids)
        ready_accounts = set() if heads is None else heads.by_account.keys()
        self._locked_accounts = (self._locked_accounts | account_ids) - ready_accounts
        return heads

    async def _store_batch(
        self, connection: AsyncConnection, batch: Sequence[Submission], heads: event_log.LockedHeads
    ) -> list[AcceptedSignal | SignalHubError]:
        """Store the submissions that are new, commit, and return an answer for each."""
        verdicts = await _find_duplicates(connection, batch)
        to_store = [_to_stored_submission(item, verdict) for item, verdict in zip(batch, verdicts, strict=True)]
        new = [item for item in to_store if item is not None]
        answers, events, due_orders = await self._store_new(connection, new, heads) if new else ([], [], [])
        await connection.commit()
        self._publish(events, due_orders)
        _count_outcomes(answers, verdicts)
        stored_answers = iter(answers)
        return [
            next(stored_answers) if item is not None else verdict or _in_flight_error()
            for item, verdict in zip(to_store, verdicts, strict=True)
        ]

    async def _store_new(
        self, connection: AsyncConnection, submissions: Sequence[Submission], heads: event_log.LockedHeads
    ) -> tuple[list[AcceptedSignal | SignalHubError], list[Event], list[tuple[str, str]]]:
        """Write signals, orders and events. Returns the answers, the events, and the orders that are due already."""
        # 1. Build the rows. Every row of the batch gets the time of the last lock.
        ids = _generate_ids(heads.now, len(submissions))
        records = [
            build_records(item, pair, self._order_defaults, heads.now)
            for item, pair in zip(submissions, ids, strict=True)
        ]
        # 2. Number the events: an answer holds the seq of its last event.
        events, statements = event_log.assign_sequence(
            heads, [new_event for record in records for new_event in record.new_events]
        )
        numbered_events = iter(events)
        answers: list[AcceptedSignal | SignalHubError] = []
        signal_rows, new_orders, due_orders = [], [], []
        for record in records:
            record_events = [next(numbered_events) for _ in record.new_events]
            order = record.order
            if order is None:
                refusal = to_refusal_error(record.submission.problems, record.submission.notices)
                stored_answer = _encode(refusal.problems)
                answers.append(refusal)
            else:
                stored_answer = _encode(record.to_accepted(record_events))
                answers.append(AcceptedSignal(order.id, stored_answer))
                due_at = find_next_due(self._broker, order, heads.now)
                if due_at == order.created_at:
                    # A worker is notified of it, so the sweep leaves it alone for a moment.
                    due_orders.append((order.id, order.trace_id))
                    due_at += orders.SCHEDULER_GRACE
                new_orders.append((order, due_at))
            signal_rows.append(record.to_row(stored_answer))
        # 3. Write everything in one statement.
        statements.append(signals.insert(signal_rows, heads.now))
        if new_orders:
            statements.append(orders.insert(new_orders, heads.now))
        await bulk.execute(connection, statements)
        return answers, events, due_orders


async def _find_duplicates(
    connection: AsyncConnection, batch: Sequence[Submission]
) -> list[AcceptedSignal | SignalHubError | None]:
    """Return for each submission its earlier answer, a reason to refuse it, or None if it is new."""
    verdicts: list[AcceptedSignal | SignalHubError | None] = [None] * len(batch)
    indexes_and_checks = [(i, check) for i, item in enumerate(batch) if (check := _to_duplicate_check(item))]
    if not indexes_and_checks:
        return verdicts
    checks = [check for _, check in indexes_and_checks]
    # After the logs are locked: only now is visible what the previous holder of a lock has committed.
    previous_signals = await signals.find_previous(connection, checks)
    seen_names: set[str] = set()
    for (i, check), previous in zip(indexes_and_checks, previous_signals, strict=True):
        if previous is not None:
            verdicts[i] = _to_duplicate_answer(check, previous)
        elif check.name in seen_names:
            verdicts[i] = _in_flight_error()
        seen_names.add(check.name)
    return verdicts


def _to_duplicate_check(submission: Submission) -> signals.DuplicateCheck | None:
    key = submission.stored_key if submission.is_key_used_up else None
    if key is None and (submission.signal is None or not submission.duplicate_window_s):
        return None
    return signals.DuplicateCheck(
        submission.account_id,
        key,
        submission.hook_id,
        submission.fingerprint,
        submission.duplicate_window_s,
        former_key=submission.idempotency_key if submission.is_key_signed else None,
    )


def _to_duplicate_answer(
    check: signals.DuplicateCheck, previous: signals.PreviousSignal
) -> AcceptedSignal | SignalHubError:
    if previous.fingerprint != check.fingerprint:
        return SignalHubError("idempotency_mismatch")
    if not previous.is_accepted:
        return to_refusal_error(_decode_problems(previous.answer))
    accepted = replace(_decode_accepted(previous.answer), duplicate=True)
    return AcceptedSignal(accepted.order_id, _encode(accepted))


def _to_stored_submission(submission: Submission, verdict: AcceptedSignal | SignalHubError | None) -> Submission | None:
    """Return what to store: a new submission, a refusal of one whose key was used for another body, or nothing."""
    if verdict is None:
        return submission
    if isinstance(verdict, SignalHubError) and verdict.code == "idempotency_mismatch":
        hint = f"The key {submission.idempotency_key} was used for another text; use a new key for a new signal."
        problem = Problem(code=verdict.code, hint=hint)
        if submission.idempotency_header is not None:
            problem = header_problem(submission.idempotency_header, problem)
        return replace(submission, signal=None, problems=(problem,), is_key_signed=False)  # the key is another's
    return None


def _generate_ids(now: datetime, count: int) -> list[tuple[str, str]]:
    """Return `count` pairs of signal id and order id. One read of the system's entropy serves the whole batch."""
    timestamp_ms, entropy = int(now.timestamp() * 1000), os.urandom(20 * count)
    return [
        (uuid7(timestamp_ms, entropy[i : i + 10]), uuid7(timestamp_ms, entropy[i + 10 : i + 20]))
        for i in range(0, 20 * count, 20)
    ]


def _in_flight_error() -> SignalHubError:
    return SignalHubError(
        "idempotency_in_flight", "The first request with this key is still running; ask again.", retry_after_s=1
    )


def _count_outcomes(
    answers: Sequence[AcceptedSignal | SignalHubError], verdicts: Sequence[AcceptedSignal | SignalHubError | None]
) -> None:
    """Count a batch: what was stored, and what was answered without being stored."""
    accepted = sum(isinstance(answer, AcceptedSignal) for answer in answers)
    SIGNALS.pending["accepted",] += accepted
    SIGNALS.pending["rejected",] += len(answers) - accepted
    SIGNALS.pending["duplicate",] += sum(isinstance(verdict, AcceptedSignal) for verdict in verdicts)
