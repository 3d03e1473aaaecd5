"""The concurrency patterns of this service, each once: batches, single-flight reads, eager writes, lazy time limits.

Nothing here knows what it carries: ingest, relay, publisher and brokers bring their own items and errors.
"""

import asyncio
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable, Sequence
from itertools import chain
from time import monotonic
from types import coroutine
from typing import Any, Final, Generic, TypeVar

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class QueueTimeoutError(TimeoutError):
    """An item waited longer than `max_wait_s` and was never processed."""


class DeferredError(Exception):
    """The result of an item that could not be processed yet: it goes into the next batch."""


_DEFERRED_PAUSE_S: Final = 0.005
"""The pause before a batch that has deferred items only: what they wait for may take a moment."""


class _Waiting(Generic[Item, Result]):
    """An item in the queue, the time it came, and the future of its caller."""

    __slots__ = ("future", "item", "queued_at")

    def __init__(self, item: Item) -> None:
        self.item, self.queued_at = item, monotonic()
        self.future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def resolve(self, result: Result | Exception) -> None:
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class Batcher(Generic[Item, Result]):
    """Process items in batches: those that arrive while a batch runs go together into the next one.

    There is no timer: an idle batcher adds no latency, and batches grow with the load. `process` returns a result or
    an exception for each item, in order; what it raises goes to every item of its batch, and the next batch runs.
    With `should_split`, a batch that raised such an error is processed again in halves, down to the single item. An
    item whose result is a DeferredError is processed again in the next batch, of which such items are half at most.
    """

    def __init__(
        self,
        process: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_batch: int = 1000,
        max_wait_s: float | None = None,
        should_split: Callable[[Exception], bool] | None = None,
    ) -> None:
        self._process, self._max_batch, self._max_wait_s = process, max_batch, max_wait_s
        self._should_split = should_split
        self._queue: list[_Waiting[Item, Result]] = []
        self._deferred: list[_Waiting[Item, Result]] = []
        self._runner: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many items wait for a batch; those of the running one do not count."""
        return len(self._queue) + len(self._deferred)

    def add(self, item: Item) -> asyncio.Future[Result]:
        """Queue an item. An item whose future is cancelled before its batch begins is not processed."""
        waiting: _Waiting[Item, Result] = _Waiting(item)
        self._queue.append(waiting)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return waiting.future

    async def drain(self) -> None:
        """Wait until the queue is empty and its last batch has ended."""
        while self._runner is not None:
            await asyncio.wait((self._runner,))  # awaiting the task itself would cancel it together with the caller

    async def _run(self) -> None:
        halves: list[list[_Waiting[Item, Result]]] = []
        try:
            while halves or self._queue or self._deferred:
                if not halves and not self._queue:
                    await asyncio.sleep(_DEFERRED_PAUSE_S)
                batch = halves.pop() if halves else self._take()
                if batch:
                    halves += await self._run_batch(batch)
        finally:
            # Without this, a runner that was cancelled would never be replaced, and what it left would wait for ever.
            self._runner = None
            for waiting in (*chain.from_iterable(halves), *self._deferred, *self._queue):
                waiting.resolve(TimeoutError())
            self._queue, self._deferred = [], []

    def _take(self) -> list[_Waiting[Item, Result]]:
        """Return the next batch, without items whose caller has gone or that waited for too long."""
        # Deferred items are older. The rest of them comes first in the batch after.
        deferred_count = min(len(self._deferred), max(1, self._max_batch // 2))
        new_count = self._max_batch - deferred_count
        first = self._deferred[:deferred_count] + self._queue[:new_count]
        self._deferred, self._queue = self._deferred[deferred_count:], self._queue[new_count:]
        if self._max_wait_s is not None:
            oldest = monotonic() - self._max_wait_s
            for waiting in first:
                if waiting.queued_at < oldest:
                    waiting.resolve(QueueTimeoutError())
        return [waiting for waiting in first if not waiting.future.done()]

    async def _run_batch(self, batch: list[_Waiting[Item, Result]]) -> list[list[_Waiting[Item, Result]]]:
        """Answer the callers of a batch. Returns its halves instead, the first one last, if they are to be tried."""
        # Also the answer when this task is cancelled: no caller may wait for a batch that will never end.
        results: Sequence[Result | Exception] = [TimeoutError()] * len(batch)
        try:
            results = await self._process([waiting.item for waiting in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} items")  # noqa: TRY301 - as if it had raised
        except CancelledError:
            # A database driver may cancel its own wait. Only a cancellation of this task itself ends the runner.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
        except Exception as error:  # noqa: BLE001 - the runner must live, and every caller gets an answer
            if len(batch) > 1 and self._should_split is not None and self._should_split(error):
                middle = len(batch) // 2
                results = ()
                return [batch[middle:], batch[:middle]]
            results = [error] * len(batch)
        finally:
            self._answer(batch, results)
            # An error holds this frame by its traceback. If the frame held the error too, by its results or by the
            # futures of its batch, all of the batch would stay in memory until garbage is collected.
            del batch, results
        return []

    def _answer(self, batch: Sequence[_Waiting[Item, Result]], results: Sequence[Result | Exception]) -> None:
        for waiting, result in zip(batch, results, strict=False):
            if isinstance(result, DeferredError):
                self._deferred.append(waiting)
            else:
                waiting.resolve(result)


class SingleFlight(Generic[Key, Result]):
    """Share one running read among all who ask for the same key while it runs."""

    def __init__(self) -> None:
        self._tasks: dict[Key, asyncio.Task[Result]] = {}

    async def run(self, key: Key, read: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return the result of the running read of `key`, or start one. It goes on though a caller is cancelled.

        A read that is cancelled, or cancels itself as drivers do, raises TimeoutError: its callers were not cancelled.
        """
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(read())
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        try:
            return await asyncio.shield(task)
        except CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and (caller is None or not caller.cancelling()):
                raise TimeoutError from None
            raise
        finally:
            del task  # its error holds this frame, which must not hold the error

    async def cancel(self) -> None:
        """Cancel every running read and wait until they have ended."""
        running = list(self._tasks.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


_abandoned: Final[set[asyncio.Future[Any]]] = set()
"""Holds abandoned tasks: the event loop itself keeps only weak references."""


async def finish_or_abandon(timeout_s: float, awaitable: Awaitable[Result]) -> Result:
    """Return the result, or raise TimeoutError after `timeout_s` and leave the task to end by itself.

    The task is cancelled but not awaited: to leave a silent server, a driver may first ask that server. An awaitable
    that cancels itself, as drivers do, raises TimeoutError too.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait((task,), timeout=timeout_s)
    finally:
        is_late = not task.done()  # at the end of the time, or because the caller was cancelled
        if is_late:
            _abandoned.add(task)
            task.add_done_callback(_forget)
            task.cancel()
    if is_late or task.cancelled():
        raise TimeoutError
    try:
        return task.result()
    finally:
        del task  # its error holds this frame, which must not hold the error


def _forget(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    try:
        task.result()  # retrieved, or asyncio would log it as never retrieved
    except (Exception, CancelledError) as error:  # noqa: BLE001 - whatever it is, nobody waits for it
        release_frames(error)


def release_frames(error: BaseException) -> None:
    """Remove the tracebacks of an error that has been handled, and of the errors that led to it.

    A traceback holds the frames, and so the rows and requests, of all functions that the error passed. Where one of
    them holds the error in a variable, as SQLAlchemy's and asyncio's do, all of it would stay until garbage is
    collected.
    """
    linked: BaseException | None = error
    while linked is not None and linked.__traceback__ is not None:
        linked.__traceback__ = None
        linked = linked.__context__ if linked.__cause__ is None else linked.__cause__


async def timeout_if_pending(timeout_s: float | None, awaitable: Awaitable[Result]) -> Result:
    """Return the result; raise TimeoutError after `timeout_s` and cancel it. None is no limit.

    The timer is set only if the awaitable has to wait. A broker that is a pure function answers without waiting, and a
    timer for each of its answers would be a tenth of what they cost.
    """
    steps = awaitable.__await__()
    try:
        awaited = next(steps)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    async with asyncio.timeout(timeout_s):
        return await _resume(awaited, steps)


class EagerWrite:
    """A write that starts in the caller's own time; only one that has to wait leaves anything behind.

    This is an eager task, which asyncio has from Python 3.12 on, without the task: a thousand subscribers whose
    sockets take an event at once cost a thousand calls, not a thousand task wake-ups.
    """

    __slots__ = ("_awaited", "_steps", "error")

    def __init__(self, write: Awaitable[None]) -> None:
        self._steps: Generator[Any, Any, None] | None = None
        self._awaited: Any = None
        self.error: Exception | CancelledError | None = None
        """What the write raised. A cancelled write raises CancelledError, which must not reach callers of `is_done`."""
        self._step(write.__await__())

    @property
    def is_done(self) -> bool:
        # A bare yield, as of `asyncio.sleep(0)`, leaves no future to wait for.
        while self._steps is not None and (self._awaited is None or self._awaited.done()):
            self._step(self._steps)
        return self._steps is None

    def cancel(self) -> None:
        """Cancel the write if it waits."""
        if self._steps is not None and self._awaited is not None:
            self._awaited.cancel()

    async def wait(self) -> None:
        """Wait for the end of the write. Raises its error."""
        if not self.is_done and self._steps is not None:
            await _await_rest(self._awaited, self._steps)
            self._steps = None
        if self.error is not None:
            raise self.error

    def _step(self, steps: Generator[Any, Any, None]) -> None:
        self._steps = None  # for good, unless it has to wait
        try:
            self._awaited = next(steps)
        except StopIteration:
            return
        except (Exception, CancelledError) as error:  # noqa: BLE001 - as many kinds as there are transports
            self.error = error.with_traceback(None)  # it holds this frame, which must not hold the error
            return
        self._steps = steps


@coroutine
def _resume(awaited: Any, steps: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:  # noqa: ANN401 - a future
    """Wait for `awaited`, which `steps` waits for, and then for the rest of `steps`."""
    while True:
        try:
            yield awaited
        except BaseException as error:  # noqa: BLE001 - the awaitable decides what a cancellation means
            try:
                awaited = steps.throw(error)
            except StopIteration as stop:
                result: Result = stop.value
                return result
        else:
            return (yield from steps)


@coroutine
def _await_rest(awaited: Any, steps: Generator[Any, Any, None]) -> Generator[Any, Any, None]:  # noqa: ANN401 - a future
    """Wait for `awaited` and the rest of `steps`. A cancellation of the caller cancels `awaited`."""
    yield awaited
    yield from steps
