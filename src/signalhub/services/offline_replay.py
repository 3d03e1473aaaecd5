"""Replay recorded signals through grammar, order table and broker on a virtual clock, without servers or waiting.

Orders are independent, so each runs to its end alone, and the results are sorted by time afterwards. The same recording
with the same settings gives the same digest on every machine.
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

from signalhub import grammar, process_upkeep
from signalhub.brokers import factory
from signalhub.brokers.stepper import OrderStepper
from signalhub.domain import forced_outcomes
from signalhub.domain.identifiers import uuid7
from signalhub.domain.order import Order, Status
from signalhub.domain.retry import RetryPolicy
from signalhub.services.signal_records import NewSignalRecords, OrderDefaults, Submission, build_records
from signalhub.settings import Settings


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """Results in R multiples, profit by risk, so that those of all instruments can be added.

    `expectancy` is the mean result, `drawdown` the largest fall of the running sum below its maximum, from 0.
    `profit_factor` is the sum of the wins divided by that of the losses, None without a loss.
    """

    closed: int
    wins: int
    total: Decimal
    expectancy: Decimal | None
    profit_factor: Decimal | None
    drawdown: Decimal


def compute_performance(r_multiples: Iterable[Decimal]) -> Performance:
    """Compute the performance of results in the order of their closes."""
    closed = wins = 0
    won = lost = total = peak = drawdown = Decimal(0)
    for result in r_multiples:
        closed, wins, total = closed + 1, wins + (result > 0), total + result
        won, lost = won + max(result, Decimal(0)), lost - min(result, Decimal(0))
        peak = max(peak, total)
        drawdown = max(drawdown, peak - total)
    return Performance(
        closed=closed,
        wins=wins,
        total=total,
        expectancy=total / closed if closed else None,
        profit_factor=won / lost if lost else None,
        drawdown=drawdown,
    )


DEFAULT_START_AT: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""The time of the first text, if it has none: a Monday."""

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
    """Return the recorded signals in the order of their times. Raises ValueError with a sentence.

    The first characters tell the three formats apart: lines of JSON with `text` and `at`, a page of
    `GET /api/v1/signals` (the account's own history), or plain texts separated by empty lines.
    """
    text = raw.decode("utf-8-sig")
    if not text.lstrip().startswith("{"):
        return _with_default_times(
            _RecordedLine(block) for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")) if block.strip()
        )
    if re.match(r'\s*\{\s*"items"', text):
        page = msgspec.json.decode(raw, type=_HistoryPage)
        recorded = [RecordedSignal(signal.raw, signal.received_at) for signal in page.items]
    else:
        recorded = _with_default_times(
            _decode_line(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()
        )
    return sorted(recorded, key=lambda signal: signal.received_at)


def _decode_line(number: int, line: str) -> _RecordedLine:
    try:
        return msgspec.json.decode(line, type=_RecordedLine)
    except msgspec.MsgspecError as error:
        raise ValueError(f'Line {number} is to be {{"text": …, "at": …}}: {error}.') from None


def _with_default_times(lines: Iterable[_RecordedLine]) -> list[RecordedSignal]:
    """Give each text without a time a time one minute after the text before it."""
    recorded: list[RecordedSignal] = []
    default_time = DEFAULT_START_AT
    for line in lines:
        received_at = line.at or default_time
        received_at = received_at if received_at.tzinfo is not None else received_at.replace(tzinfo=UTC)
        recorded.append(RecordedSignal(line.text, received_at))
        default_time = received_at + DEFAULT_INTERVAL
    return recorded


_ACCOUNT_ID: Final = "00000000-0000-7000-8000-000000000000"
_MAX_STEPS: Final = 1000
_SIGNALS_PER_CHUNK: Final = 500
"""Signals of one chunk. A longer recording is split among all cores."""

_encode = msgspec.json.Encoder().encode


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """`digest` covers every event of every signal, so equal digests mean equal runs."""

    signals: int
    refused: int
    orders: dict[str, int]
    retries: int
    performance: Performance
    digest: str


class SignalOutcome(msgspec.Struct, frozen=True):
    """The end of one signal; `order` is None if it was refused."""

    order: Order | None
    retries: int
    digest: bytes


def replay(recorded: Sequence[RecordedSignal], settings: Settings) -> ReplayResult:
    """Return the results of the recorded signals under `settings`. Raises LookupError, ValueError for unknown names."""
    chunks = [
        (settings, start, recorded[start : start + _SIGNALS_PER_CHUNK])
        for start in range(0, len(recorded), _SIGNALS_PER_CHUNK)
    ]
    if len(chunks) == 1:
        return _summarize(_run_chunk(chunks[0]))
    _build_stepper(settings)  # raises here, not in another process, if the settings are wrong
    # Forked processes have everything loaded; spawned ones would take longer to start than to do the work.
    with ProcessPoolExecutor(mp_context=get_context("fork"), initializer=process_upkeep.freeze_gc) as processes:
        return _summarize([outcome for outcomes in processes.map(_run_chunk, chunks) for outcome in outcomes])


def _run_chunk(chunk: tuple[Settings, int, Sequence[RecordedSignal]]) -> list[SignalOutcome]:
    return asyncio.run(_replay_chunk(*chunk))


async def _replay_chunk(settings: Settings, start: int, recorded: Sequence[RecordedSignal]) -> list[SignalOutcome]:
    stepper, defaults = _build_stepper(settings), OrderDefaults.from_settings(settings)
    return [
        await _replay_signal(stepper, _to_records(index, signal, defaults))
        for index, signal in enumerate(recorded, start)
    ]


def _build_stepper(settings: Settings) -> OrderStepper:
    policy = RetryPolicy(settings.retry.max_attempts, settings.retry.base_delay_s, settings.retry.max_delay_s)
    return OrderStepper(factory.create_broker(settings, sleep=_skip_sleep), policy, timeout_s=None)


async def _skip_sleep(_seconds: float) -> None:
    """Return at once: a broker that hangs takes no time on a virtual clock."""


def _to_records(index: int, recorded: RecordedSignal, defaults: OrderDefaults) -> NewSignalRecords:
    """Derive the ids from the text and its index, as they seed the broker's random numbers."""
    raw = recorded.text.encode()
    parsed = grammar.parse(raw)
    accepted = parsed if isinstance(parsed, grammar.ParsedSignal) else None
    digest = sha256(f"{index}/{recorded.text}".encode()).digest()
    timestamp_ms = int(recorded.received_at.timestamp() * 1000)
    submission = Submission(
        account_id=_ACCOUNT_ID,
        credential_id="replay",
        raw=raw,
        fingerprint=digest,
        signal=accepted.signal if accepted else None,
        problems=parsed.problems if isinstance(parsed, grammar.RefusedText) else (),
        simulation=forced_outcomes.from_stored_text(accepted.simulate) if accepted else None,
        trace_id=digest.hex()[:32],
    )
    return build_records(
        submission,
        (uuid7(timestamp_ms, digest[:10]), uuid7(timestamp_ms, digest[10:20])),
        defaults,
        recorded.received_at.astimezone(UTC),
    )


async def _replay_signal(stepper: OrderStepper, records: NewSignalRecords) -> SignalOutcome:
    new_events, order = list(records.new_events), records.order
    if order is not None:
        steps = await stepper.run_to_end(order, _MAX_STEPS)
        new_events += [new_event for step in steps for new_event in step.new_events]
        order = steps[-1].order_after if steps else order
    retries = sum(new_event.type == "order.retrying" for new_event in new_events)
    return SignalOutcome(order, retries, sha256(b"".join(map(_encode, new_events))).digest())


def _summarize(outcomes: Sequence[SignalOutcome]) -> ReplayResult:
    ended = [outcome.order for outcome in outcomes if outcome.order is not None]
    statuses = Counter(order.status for order in ended)
    return ReplayResult(
        signals=len(outcomes),
        refused=len(outcomes) - len(ended),
        orders={status.value: statuses[status] for status in Status},
        retries=sum(outcome.retries for outcome in outcomes),
        performance=compute_performance(_r_multiples(ended)),
        digest=sha256(b"".join(outcome.digest for outcome in outcomes)).hexdigest(),
    )


def _r_multiples(orders: Iterable[Order]) -> list[Decimal]:
    closed = [
        (order.closed_at, order.id, order.r_multiple or Decimal(0)) for order in orders if order.closed_at is not None
    ]
    return [result for _, _, result in sorted(closed)]
