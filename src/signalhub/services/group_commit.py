"""Group commit: whoever arrives while a commit is running goes into the next one.

No timer, so an idle service adds no latency; the busier it is, the larger the batches and the cheaper each item.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from signalhub.domain.errors import SignalHubError

Item = TypeVar("Item")
Result = TypeVar("Result")

_log = structlog.get_logger()


class GroupCommit(Generic[Item, Result]):
    """`commit` stores a batch in one transaction and answers for each item, in order, with a result or an exception.

    When it raises instead, nothing of that batch was stored, or no one can know; see `_answer_for`.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result | SignalHubError]]],
        *,
        most: int = 256,
        queue: int = 4096,
        patience_s: float = 1.6,
    ) -> None:
        self._commit, self._most, self._queue, self._patience_s = commit, most, queue, patience_s
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """The item's result after its commit. Raises `unavailable` when the line is long or the wait too long.

        After that the outcome is unknown to the caller: the item may be stored yet, which is why a resend needs an
        idempotency key.
        """
        if len(self._waiting) >= self._queue:
            raise _unavailable("Too many signals are waiting; try again in a second.")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._patience_s):
                return await future
        except TimeoutError:
            raise _unavailable("The database is slow; it is not known whether the signal was stored.") from None

    async def _run(self) -> None:
        while self._waiting:
            batch = [pair for pair in self._waiting[: self._most] if not pair[1].done()]
            del self._waiting[: self._most]
            if batch:
                await self._store(batch)
        self._runner = None

    async def _store(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                results = await self._commit([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - the loop must live, and every waiting request gets its answer
            await self._fall_back(batch, error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            _resolve(future, result)

    async def _fall_back(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
        """One bad item fails alone: after an error that is about the rows, each is stored by itself."""
        if len(batch) > 1 and not _is_outage(error):
            for pair in batch:
                await self._store([pair])
            return
        _log.warning("intake.commit_failed", items=len(batch), error=repr(error))
        for _, future in batch:
            _resolve(future, _answer_for(error))


def _resolve(future: asyncio.Future[Result], result: Result | SignalHubError) -> None:
    if future.done():
        return
    if isinstance(result, SignalHubError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _is_outage(error: Exception) -> bool:
    """Whether the error is about the way to the database, not about what was to be stored."""
    return isinstance(error, OSError | TimeoutError) or getattr(error, "connection_invalidated", False)


def _answer_for(error: Exception) -> SignalHubError:
    if isinstance(error, SignalHubError):
        return error
    if _is_outage(error) or "pool" in str(error).lower():
        return _unavailable("The database cannot be reached; the signal was not accepted.")
    return _unavailable("The signal could not be stored; try again.")


def _unavailable(detail: str) -> SignalHubError:
    return SignalHubError("unavailable", detail, retry_after=1)
