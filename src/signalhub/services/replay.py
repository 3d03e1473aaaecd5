"""Recorded signals, read from a file: texts with their times.

Three forms are told apart by their first character: lines of JSON with `text` and `at`, a page of
`GET /api/v1/signals` (the account's own history), and plain texts with an empty line between two.


Recorded signals through grammar, order table and broker on a virtual clock: no servers, no waiting, no chance.

Orders do not know of each other, so each is led through its whole life alone; what they did is put in order of time
afterwards. The same recording in the same scenario gives the same digest, wherever it runs.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from multiprocessing import get_context
from typing import Final

import msgspec

from signalhub import grammar, process
from signalhub.brokers import factory
from signalhub.brokers.stepper import OrderStepper
from signalhub.domain.identifiers import uuid7
from signalhub.domain.order import Order, Status
from signalhub.domain.performance import Performance, compute_performance
from signalhub.domain.retry import RetryPolicy
from signalhub.services.records import NewSignalRecords, OrderDefaults, Submission, build_records
from signalhub.settings import Settings

DEFAULT_START_AT: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""The time of the first text, where none is said: a Monday."""

DEFAULT_INTERVAL: Final = timedelta(minutes=1)


class RecordedSignal(msgspec.Struct, frozen=True):
    text: str
    received_at: datetime


class _RecordedLine(msgspec.Struct):
    text: str
    at: datetime | None = None


class _HistorySignal(msgspec.Struct):
    raw: str
    received_at: datetime


class _HistoryPage(msgspec.Struct):
    items: list[_HistorySignal]


def read_recording(raw: bytes) -> list[RecordedSignal]:
    """In the order in which they came. Raises ValueError with a sentence."""
    text = raw.decode("utf-8-sig")
    if not text.lstrip().startswith("{"):
        return _with_default_times(
            _RecordedLine(block) for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")) if block.strip()
        )
    if re.match(r'\s*\{\s*"items"', text):
        page = msgspec.json.decode(raw, type=_HistoryPage)
        found = [RecordedSignal(sent.raw, sent.received_at) for sent in page.items]
    else:
        found = _with_default_times(
            _decode_line(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()
        )
    return sorted(found, key=lambda one: one.received_at)


def _decode_line(number: int, line: str) -> _RecordedLine:
    try:
        return msgspec.json.decode(line, type=_RecordedLine)
    except msgspec.MsgspecError as error:
        raise ValueError(f'Line {number} is to be {{"text": …, "at": …}}: {error}.') from None


def _with_default_times(lines: Iterable[_RecordedLine]) -> list[RecordedSignal]:
    """A text without a time comes a minute after the one before it."""
    found: list[RecordedSignal] = []
    after = DEFAULT_START_AT
    for line in lines:
        at = line.at or after
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        found.append(RecordedSignal(line.text, at))
        after = at + DEFAULT_INTERVAL
    return found


_ACCOUNT_ID: Final = "00000000-0000-7000-8000-000000000000"
_MAX_STEPS: Final = 1000
_SIGNALS_PER_CHUNK: Final = 500
"""Signals that one process takes at a time: more than that are shared among all cores."""

_encode = msgspec.json.Encoder().encode


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """`digest` is over every event of every signal: equal digests, equal runs."""

    signals: int
    refused: int
    orders: dict[str, int]
    retries: int
    performance: Performance
    digest: str


class SignalOutcome(msgspec.Struct, frozen=True):
    """What became of one signal; `order` is None where it was refused."""

    order: Order | None
    retries: int
    digest: bytes


def replay(recorded: Sequence[RecordedSignal], settings: Settings) -> ReplayResult:
    """What would have become of `recorded` under `settings`. Raises LookupError, ValueError for unknown names."""
    parts = [
        (settings, start, recorded[start : start + _SIGNALS_PER_CHUNK])
        for start in range(0, len(recorded), _SIGNALS_PER_CHUNK)
    ]
    if len(parts) == 1:
        return _summarize(_run_chunk(parts[0]))
    _build_stepper(settings)  # what is wrong with the settings is better said here than in another process
    # Forked, they have everything loaded already: begun afresh, they would take longer to start than to do the work.
    with ProcessPoolExecutor(mp_context=get_context("fork"), initializer=process.freeze_gc) as processes:
        return _summarize([life for lives in processes.map(_run_chunk, parts) for life in lives])


def _run_chunk(chunk: tuple[Settings, int, Sequence[RecordedSignal]]) -> list[SignalOutcome]:
    return asyncio.run(_replay_chunk(*chunk))


async def _replay_chunk(settings: Settings, start: int, recorded: Sequence[RecordedSignal]) -> list[SignalOutcome]:
    steps, placing = _build_stepper(settings), OrderDefaults.from_settings(settings)
    return [
        await _replay_signal(steps, _to_records(number, one, placing)) for number, one in enumerate(recorded, start)
    ]


def _build_stepper(settings: Settings) -> OrderStepper:
    policy = RetryPolicy(settings.retry.max_attempts, settings.retry.base_delay_s, settings.retry.max_delay_s)
    return OrderStepper(factory.create_broker(settings, sleep=_skip_sleep), policy, timeout_s=None)


async def _skip_sleep(_seconds: float) -> None:
    """On a virtual clock nobody waits for a broker that hangs."""


def _to_records(index: int, recorded: RecordedSignal, defaults: OrderDefaults) -> NewSignalRecords:
    """Ids come from the text and its place: the dice know orders by them."""
    raw = recorded.text.encode()
    read = grammar.parse(raw)
    understood = read if isinstance(read, grammar.ParsedSignal) else None
    digest = sha256(f"{index}/{recorded.text}".encode()).digest()
    at_ms = int(recorded.received_at.timestamp() * 1000)
    sent = Submission(
        account_id=_ACCOUNT_ID,
        credential_id="replay",
        raw=raw,
        fingerprint=digest,
        signal=understood.signal if understood else None,
        problems=read.problems if isinstance(read, grammar.RefusedText) else (),
        simulate=understood.simulate if understood else None,
        trace_id=digest.hex()[:32],
    )
    return build_records(
        sent, (uuid7(at_ms, digest[:10]), uuid7(at_ms, digest[10:20])), defaults, recorded.received_at.astimezone(UTC)
    )


async def _replay_signal(stepper: OrderStepper, records: NewSignalRecords) -> SignalOutcome:
    facts, order = list(records.new_events), records.order
    if order is not None:
        steps = await stepper.run_to_end(order, _MAX_STEPS)
        facts += [event for step in steps for event in step.new_events]
        order = steps[-1].order_after if steps else order
    retries = sum(fact.type == "order.retrying" for fact in facts)
    return SignalOutcome(order, retries, sha256(b"".join(map(_encode, facts))).digest())


def _summarize(outcomes: Sequence[SignalOutcome]) -> ReplayResult:
    ended = [life.order for life in outcomes if life.order is not None]
    statuses = Counter(order.status for order in ended)
    return ReplayResult(
        signals=len(outcomes),
        refused=len(outcomes) - len(ended),
        orders={status.value: statuses[status] for status in Status},
        retries=sum(life.retries for life in outcomes),
        performance=compute_performance(_r_multiples(ended)),
        digest=sha256(b"".join(life.digest for life in outcomes)).hexdigest(),
    )


def _r_multiples(orders: Iterable[Order]) -> list[Decimal]:
    closed = [(one.closed_at, one.id, one.r_multiple or Decimal(0)) for one in orders if one.closed_at is not None]
    return [result for _, _, result in sorted(closed)]
