"""Group commit: items that arrive while a commit runs go together into the next one.

A batch whose rows are refused by the database is split, so that one bad item fails alone.
"""

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Generic, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from db import bulk
from signalhub.concurrency import Batcher, DeferredError, QueueTimeoutError, finish_or_abandon
from signalhub.domain.errors import SignalHubError
from signalhub.services.metrics import BATCH_SIZE, COMMIT_FAILURES, COMMIT_SECONDS, QUEUE

Item = TypeVar("Item")
Result = TypeVar("Result")

_log = structlog.get_logger()


class GroupCommit(Generic[Item, Result]):
    """Commit items in batches. `commit` stores a batch in one transaction and returns a result or an error for each.

    An item with a DeferredError goes into the next batch, as long as its wait in the queue lasts.
    When `commit` raises, nothing of the batch was stored, or nobody can know. `timeout_s` limits the wait in the queue
    and the commit, each. With the half second that the lookup of a credential may take before, both stay below the two
    seconds in which every sender gets an answer: TradingView hangs up after three and does not send again.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result | SignalHubError | DeferredError]]],
        *,
        max_batch: int = 1000,
        max_pending: int = 4096,
        timeout_s: float = 0.65,
    ) -> None:
        self._commit, self._max_pending, self._timeout_s = commit, max_pending, timeout_s
        self._batcher: Batcher[Item, Result] = Batcher(
            self._commit_batch, max_batch=max_batch, max_wait_s=timeout_s, should_split=_is_row_error
        )

    async def submit(self, item: Item) -> Result:
        """Return the item's result after its commit.

        Raises the error that `commit` returned for it, or `unavailable` when the queue is full or a time limit has
        passed. After a commit that was too slow the item may be stored yet, so a resend needs an idempotency key.
        """
        if len(self._batcher) >= self._max_pending:
            raise _unavailable_error("Too many signals are waiting; try again in a second.")
        try:
            return await self._batcher.add(item)
        except SignalHubError:
            raise
        except QueueTimeoutError:
            raise _unavailable_error(
                "The database is slow, or the account is locked; the signal was not accepted."
            ) from None
        except Exception as error:
            if _is_row_error(error):
                raise _unavailable_error("The signal could not be stored; try again.") from error
            raise _unavailable_error(
                "The database cannot be reached or is slow; it is not known whether the signal was stored."
            ) from error

    async def _commit_batch(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        QUEUE.set(len(self._batcher))
        BATCH_SIZE.pending.append(len(items))
        began = perf_counter()
        try:
            return await finish_or_abandon(self._timeout_s, self._commit(items))
        except Exception as error:
            if len(items) == 1 or not _is_row_error(error):
                COMMIT_FAILURES.inc()
                _log.warning("ingest.commit_failed", items=len(items), error=repr(error))
            raise
        finally:
            COMMIT_SECONDS.pending.append(perf_counter() - began)


def _is_row_error(error: Exception) -> bool:
    """Return whether the rows are surely at fault. A commit whose outcome is unknown must not be repeated."""
    if not isinstance(error, DBAPIError):
        return not isinstance(error, OSError | SQLAlchemyError)
    return bulk.is_row_error(error)


def _unavailable_error(detail: str) -> SignalHubError:
    return SignalHubError("unavailable", detail, retry_after_s=1)
