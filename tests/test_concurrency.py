"""Batches, shared reads, eager writes and time limits, with callers that leave and work that hangs or dies."""

import asyncio
import gc
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from signalhub.concurrency import (
    Batcher,
    EagerWrite,
    QueueTimeoutError,
    SingleFlight,
    finish_or_abandon,
    release_frames,
    timeout_if_pending,
)


async def _answer(*waits_s: float) -> str:
    for wait_s in waits_s:
        await asyncio.sleep(wait_s)
    return "answer"


@pytest.mark.parametrize("waits_s", [(), (0,), (0.001,), (0.001, 0, 0.001)])
async def test_result_is_returned_after_any_number_of_waits(waits_s: tuple[float, ...]) -> None:
    assert await timeout_if_pending(1, _answer(*waits_s)) == "answer"
    assert await timeout_if_pending(None, _answer(*waits_s)) == "answer"


@pytest.mark.parametrize("waits_s", [(9,), (0.001, 9), (0, 9)])
async def test_timeout_applies_to_any_await(waits_s: tuple[float, ...]) -> None:
    with pytest.raises(TimeoutError):
        await timeout_if_pending(0.02, _answer(*waits_s))


async def test_error_is_raised_unchanged() -> None:
    async def fail(wait_s: float | None) -> None:
        if wait_s is not None:
            await asyncio.sleep(wait_s)
        raise LookupError

    for wait_s in (None, 0, 0.001):
        with pytest.raises(LookupError):
            await timeout_if_pending(1, fail(wait_s))


async def test_cancelled_awaitable_can_clean_up() -> None:
    events = []

    async def stubborn() -> str:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            events.append("tidied")
            raise
        return "never"

    with pytest.raises(TimeoutError):
        await timeout_if_pending(0.01, stubborn())
    assert events == ["tidied"]


async def test_cancellation_of_the_caller_is_raised() -> None:
    asking = asyncio.create_task(timeout_if_pending(9, _answer(9)))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def _double(items: Sequence[int]) -> Sequence[int | Exception]:
    await asyncio.sleep(0)
    return [item * 2 for item in items]


async def test_items_added_during_a_batch_share_the_next() -> None:
    batches: list[list[int]] = []

    async def process(items: Sequence[int]) -> Sequence[int | Exception]:
        batches.append(list(items))
        return await _double(items)

    batcher = Batcher(process, max_batch=3)
    first = batcher.add(1)
    await asyncio.sleep(0)
    assert await asyncio.gather(first, *map(batcher.add, range(2, 7))) == [2, 4, 6, 8, 10, 12]
    assert batches == [[1], [2, 3, 4], [5, 6]]


async def test_failed_batch_fails_its_items_only() -> None:
    async def process(items: Sequence[int]) -> Sequence[int | Exception]:
        if 1 in items:
            raise LookupError
        return [KeyError() if item < 0 else item for item in items]

    batcher = Batcher(process, max_batch=2)
    results = await asyncio.gather(*map(batcher.add, [1, 2, -3, 4]), return_exceptions=True)
    assert [result if isinstance(result, int) else type(result) for result in results] == [
        LookupError,
        LookupError,
        KeyError,
        4,
    ]


async def test_wrong_number_of_results_fails_the_batch() -> None:
    async def process(items: Sequence[int]) -> Sequence[int | Exception]:
        return [*items][1:]

    batcher = Batcher(process)
    async with asyncio.timeout(1):
        results = await asyncio.gather(batcher.add(1), batcher.add(2), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, RuntimeError]


async def test_hung_batch_times_out_and_the_next_one_runs() -> None:
    async def read(items: Sequence[int]) -> Sequence[int | Exception]:
        if 1 in items:
            await asyncio.Event().wait()
        return await _double(items)

    async def process(items: Sequence[int]) -> Sequence[int | Exception]:
        return await finish_or_abandon(0.02, read(items))

    batcher = Batcher(process)
    with pytest.raises(TimeoutError):
        await batcher.add(1)
    assert await batcher.add(2) == 4


async def test_item_that_waited_too_long_is_not_processed() -> None:
    processed: list[int] = []

    async def process(items: Sequence[int]) -> Sequence[int | Exception]:
        processed.extend(items)
        await asyncio.sleep(0.05)
        return [*items]

    batcher = Batcher(process, max_wait_s=0.02)
    first = batcher.add(1)
    await asyncio.sleep(0)
    with pytest.raises(QueueTimeoutError):
        await batcher.add(2)
    assert (await first, processed) == (1, [1])


async def test_cancelled_runner_fails_its_callers_and_is_replaced() -> None:
    runners: list[asyncio.Task[object] | None] = []

    async def process(items: Sequence[int]) -> Sequence[int | Exception]:
        runners.append(asyncio.current_task())
        if 1 in items:
            await asyncio.Event().wait()
        return await _double(items)

    batcher = Batcher(process, max_batch=1)
    running, queued = batcher.add(1), batcher.add(2)
    await asyncio.sleep(0)
    assert runners[0] is not None
    runners[0].cancel()
    async with asyncio.timeout(1):
        for future in (running, queued):
            with pytest.raises(TimeoutError):
                await future
        assert await batcher.add(3) == 6


async def test_process_that_cancels_itself_does_not_end_the_runner() -> None:
    async def process(items: Sequence[int]) -> Sequence[int | Exception]:
        if 1 in items:
            raise asyncio.CancelledError
        return await _double(items)

    batcher = Batcher(process, max_batch=1)
    cancelled, queued = batcher.add(1), batcher.add(2)
    with pytest.raises(TimeoutError):
        await cancelled
    assert await queued == 4


async def test_cancelled_caller_is_skipped() -> None:
    processed: list[int] = []

    async def process(items: Sequence[int]) -> Sequence[int | Exception]:
        processed.extend(items)
        return await _double(items)

    batcher = Batcher(process)
    first, second, third = map(batcher.add, (1, 2, 3))
    second.cancel()
    assert (await first, await third) == (2, 6)
    assert processed == [1, 3]


async def test_split_answers_halves_as_they_end() -> None:
    batches: list[list[int]] = []

    async def process(items: Sequence[int]) -> Sequence[int | Exception]:
        batches.append(list(items))
        if 3 in items:
            raise ValueError
        return await _double(items)

    batcher = Batcher(process, should_split=lambda error: isinstance(error, ValueError))
    results = await asyncio.gather(*map(batcher.add, (1, 2, 3, 4)), return_exceptions=True)
    assert [result if isinstance(result, int) else type(result) for result in results] == [2, 4, ValueError, 8]
    assert batches == [[1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]


async def test_drain_waits_for_all_and_survives_its_caller() -> None:
    batcher = Batcher(_double, max_batch=1)
    futures = [batcher.add(item) for item in (1, 2, 3)]
    draining = asyncio.create_task(batcher.drain())
    await asyncio.sleep(0)
    draining.cancel()
    await batcher.drain()
    assert [future.result() for future in futures] == [2, 4, 6]
    assert len(batcher) == 0


async def test_concurrent_callers_share_one_read() -> None:
    reads: list[str] = []

    async def read() -> str:
        reads.append("read")
        await asyncio.sleep(0.001)
        return "value"

    flights: SingleFlight[str, str] = SingleFlight()
    cancelled = asyncio.create_task(flights.run("key", read))
    waiting = asyncio.create_task(flights.run("key", read))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await waiting == "value"
    assert reads == ["read"]
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await flights.run("key", read) == "value"
    assert len(reads) == 2


async def test_failed_read_fails_all_its_callers_and_is_forgotten() -> None:
    async def fail() -> str:
        await asyncio.sleep(0)
        raise LookupError

    flights: SingleFlight[str, str] = SingleFlight()
    results = await asyncio.gather(*(flights.run("key", fail) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 3
    assert await flights.run("key", _answer) == "answer"


async def test_read_that_is_cancelled_times_out_its_callers() -> None:
    async def cancel_itself() -> str:
        raise asyncio.CancelledError

    flights: SingleFlight[str, str] = SingleFlight()
    with pytest.raises(TimeoutError):
        await flights.run("key", cancel_itself)
    waiting = asyncio.create_task(flights.run("key", lambda: _answer(9)))
    await asyncio.sleep(0)
    await flights.cancel()
    with pytest.raises(TimeoutError):
        await waiting


async def test_cancelled_caller_does_not_leave_its_awaitable_running() -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            cancelled.set()

    waiting = asyncio.create_task(finish_or_abandon(9, hang()))
    await asyncio.sleep(0.001)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(1):
        await cancelled.wait()


async def test_eager_write_without_a_wait_is_done_at_once() -> None:
    sent: list[str] = []

    async def send() -> None:
        sent.append("sent")

    assert EagerWrite(send()).is_done
    assert sent == ["sent"]


@pytest.mark.parametrize("waits_s", [(0,), (0.001,), (0.001, 0, 0.001)])
async def test_eager_write_ends_after_all_its_waits(waits_s: tuple[float, ...]) -> None:
    async def send() -> None:
        await _answer(*waits_s)
        raise LookupError

    with pytest.raises(LookupError):
        await EagerWrite(send()).wait()
    polled = EagerWrite(send())
    for _ in range(200):
        if not polled.is_done:
            await asyncio.sleep(0.001)
    assert isinstance(polled.error, LookupError)


async def test_cancelled_eager_write_keeps_its_error() -> None:
    write = EagerWrite(asyncio.sleep(9))
    write.cancel()
    await asyncio.sleep(0)
    assert write.is_done
    assert isinstance(write.error, asyncio.CancelledError)


class _Row:
    """Something of a batch that can be watched."""


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
async def test_failed_batch_is_freed_without_garbage_collection() -> None:
    async def fail(_rows: Sequence[_Row]) -> Sequence[None]:
        await asyncio.sleep(0)
        raise OSError

    batcher = Batcher[_Row, None](lambda rows: finish_or_abandon(1.0, fail(rows)))
    rows = [_Row() for _ in range(3)]
    freed = [weakref.ref(row) for row in rows]

    async def submit(row: _Row) -> None:
        with suppress(OSError):
            await batcher.add(row)

    await asyncio.gather(*map(submit, rows))
    rows.clear()
    await batcher.drain()
    assert [reference() for reference in freed] == [None] * 3


@pytest.mark.usefixtures("no_garbage_collection")
async def test_abandoned_task_is_freed_without_garbage_collection() -> None:
    async def hang(_row: _Row) -> None:
        held_by_this_frame = []
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            held_by_this_frame.append(error)  # as variables of SQLAlchemy and asyncio do
            raise

    freed = weakref.ref(row := _Row())
    with suppress(TimeoutError):
        await finish_or_abandon(0.01, hang(row))
    del row
    await asyncio.sleep(0.01)
    assert freed() is None


async def test_released_error_and_its_cause_hold_no_frame() -> None:
    def fail() -> None:
        try:
            int("x")
        except ValueError as error:
            raise LookupError from error

    with pytest.raises(LookupError) as caught:
        fail()
    cause = caught.value.__cause__
    assert cause is not None
    assert cause.__traceback__ is not None
    release_frames(caught.value)
    assert [caught.value.__traceback__, cause.__traceback__] == [None, None]
