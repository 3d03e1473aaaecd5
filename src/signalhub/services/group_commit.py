"""Group commit: whoever arrives while a commit is running goes into the next one.

No timer, so an idle service adds no latency; the busier it is, the larger the batches and the cheaper each item.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final, Generic, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from signalhub.domain.errors import SignalHubError

Item = TypeVar("Item")
Result = TypeVar("Result")

# SQLSTATE classes: data exception, integrity constraint violation.
_ROW_ERROR_SQLSTATE_CLASSES: Final = ("22", "23")

_log = structlog.get_logger()


class _PendingItem(Generic[Item, Result]):
    """An item in line, since when, and who waits for it."""

    __slots__ = ("future", "item", "queued_at")

    def __init__(self, item: Item) -> None:
        self.item, self.queued_at = item, monotonic()
        self.future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()


class GroupCommit(Generic[Item, Result]):
    """`commit` stores a batch in one transaction and answers for each item, in order, with a result or an exception.

    When it raises instead, nothing of that batch was stored, or no one can know. `patience_s` bounds the wait in line
    and the commit, each. Together, and with the half second a credential's look-up may take before, they stay below
    the two seconds in which every sender is owed an answer: TradingView hangs up after three and never sends again.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result | SignalHubError]]],
        *,
        max_batch: int = 1000,
        max_pending: int = 4096,
        timeout_s: float = 0.65,
    ) -> None:
        self._commit, self._max_batch, self._max_pending, self._timeout_s = commit, max_batch, max_pending, timeout_s
        self._pending: list[_PendingItem[Item, Result]] = []
        self._runner: asyncio.Task[None] | None = None
        self._abandoned: set[asyncio.Future[Sequence[Result | SignalHubError]]] = set()

    async def submit(self, item: Item) -> Result:
        """The item's result after its commit. Raises `unavailable` when the line is long or the wait too long.

        After that the outcome is unknown to the caller: the item may be stored yet, which is why a resend needs an
        idempotency key.
        """
        if len(self._pending) >= self._max_pending:
            raise _unavailable_error("Too many signals are waiting; try again in a second.")
        waiting: _PendingItem[Item, Result] = _PendingItem(item)
        self._pending.append(waiting)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return await waiting.future

    async def _run(self) -> None:
        try:
            while self._pending:
                batch = self._next_batch(monotonic() - self._timeout_s)
                if batch:
                    await self._commit_batch(batch)
        finally:
            self._runner = None

    def _next_batch(self, min_queued_at: float) -> list[_PendingItem[Item, Result]]:
        """The next batch, without those whose caller has gone or who have waited for too long."""
        first, self._pending = self._pending[: self._max_batch], self._pending[self._max_batch :]
        for waiting in first:
            if waiting.queued_at < min_queued_at:
                _resolve(waiting.future, _unavailable_error("The database is slow; the signal was not accepted."))
        return [waiting for waiting in first if not waiting.future.done()]

    async def _commit_batch(self, batch: Sequence[_PendingItem[Item, Result]]) -> None:
        try:
            results = await self._commit_with_timeout([waiting.item for waiting in batch])
        except Exception as error:  # noqa: BLE001 - the loop must live, and every waiting request gets its answer
            await self._split_or_fail(batch, error)
            return
        for waiting, result in zip(batch, results, strict=True):
            _resolve(waiting.future, result)

    async def _commit_with_timeout(self, items: Sequence[Item]) -> Sequence[Result | SignalHubError]:
        """What the commit answers, if it does in time. One that does not is left to end by itself, if it ever does.

        It is cancelled, but not waited for: to leave a server that is silent a driver may ask that server first.
        """
        commit = asyncio.ensure_future(self._commit(items))
        _, late = await asyncio.wait((commit,), timeout=self._timeout_s)
        if late:
            self._abandon(commit)
        if late or commit.cancelled():  # a driver may give up its own waits so
            raise TimeoutError
        return commit.result()

    def _abandon(self, commit: asyncio.Future[Sequence[Result | SignalHubError]]) -> None:
        self._abandoned.add(commit)
        commit.add_done_callback(self._discard_abandoned)
        commit.cancel()

    def _discard_abandoned(self, commit: asyncio.Future[Sequence[Result | SignalHubError]]) -> None:
        self._abandoned.discard(commit)
        if not commit.cancelled():
            commit.exception()  # looked at, or asyncio would report it as an error nobody saw

    async def _split_or_fail(self, batch: Sequence[_PendingItem[Item, Result]], error: Exception) -> None:
        """One bad item fails alone: after an error that is about the rows, halves are tried, down to the one."""
        if len(batch) > 1 and _is_row_error(error):
            middle = len(batch) // 2
            await self._commit_batch(batch[:middle])
            await self._commit_batch(batch[middle:])
            return
        _log.warning("ingest.commit_failed", items=len(batch), error=repr(error))
        for waiting in batch:
            _resolve(waiting.future, _to_signalhub_error(error))


def _resolve(future: asyncio.Future[Result], result: Result | SignalHubError) -> None:
    if future.done():
        return
    if isinstance(result, SignalHubError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _is_row_error(error: Exception) -> bool:
    """Whether what was to be stored is at fault - surely so: a commit whose outcome is unknown must not be repeated."""
    if not isinstance(error, DBAPIError):
        return not isinstance(error, OSError | SQLAlchemyError)
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is None:
        # What the driver itself could not put on the wire it calls a ValueError.
        return isinstance(getattr(error.orig, "__cause__", None), ValueError)
    return state.startswith(_ROW_ERROR_SQLSTATE_CLASSES)


def _to_signalhub_error(error: Exception) -> SignalHubError:
    if isinstance(error, SignalHubError):
        return error
    if _is_row_error(error):
        return _unavailable_error("The signal could not be stored; try again.")
    return _unavailable_error(
        "The database cannot be reached or is slow; it is not known whether the signal was stored."
    )


def _unavailable_error(detail: str) -> SignalHubError:
    return SignalHubError("unavailable", detail, retry_after_s=1)
