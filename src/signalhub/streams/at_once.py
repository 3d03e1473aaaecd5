"""A write that is begun in the caller's own time, and only if it has to wait is there anything left of it.

Python has eager tasks from 3.12 on; this is what is needed of them, without the task. A thousand subscribers that take
their event at once then cost a thousand calls, where a thousand tasks would have to be woken first.
"""

from asyncio import CancelledError
from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any


class EagerWrite:
    """`error` is what the write raised, if it has: it may come when nobody is there to be told.

    One that was given up has raised that, too; it must not reach whoever merely asks whether the write is over.
    """

    __slots__ = ("_coroutine", "_future", "error")

    def __init__(self, awaitable: Awaitable[None]) -> None:
        self._coroutine: Generator[Any, Any, None] | None = None
        self._future: Any = None
        self.error: Exception | CancelledError | None = None
        self._resume(awaitable.__await__())

    @property
    def is_done(self) -> bool:
        while self._coroutine is not None and self._future.done():
            self._resume(self._coroutine)
        return self._coroutine is None

    def cancel(self) -> None:
        """Give it up, if it waits."""
        if self._coroutine is not None:
            self._future.cancel()

    async def wait(self) -> None:
        """Wait for the end of it. Raises its error."""
        if not self.is_done and self._coroutine is not None:
            await _await_rest(self._future, self._coroutine)
            self._coroutine = None
        if self.error is not None:
            raise self.error

    def _resume(self, coroutine_steps: Generator[Any, Any, None]) -> None:
        self._coroutine = None  # for good, unless it has to wait
        try:
            self._future = next(coroutine_steps)
        except StopIteration:
            return
        except (Exception, CancelledError) as error:  # noqa: BLE001 - as many as there are transports
            self.error = error
            return
        self._coroutine = coroutine_steps


@coroutine
def _await_rest(future: Any, coroutine_steps: Generator[Any, Any, None]) -> Generator[Any, Any, None]:  # noqa: ANN401 - a future
    yield future
    yield from coroutine_steps
