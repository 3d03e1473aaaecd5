"""A write that is begun in the caller's own time, and only if it has to wait is there anything left of it.

Python has eager tasks from 3.12 on; this is what is needed of them, without the task. A thousand subscribers that take
their event at once then cost a thousand calls, where a thousand tasks would have to be woken first.
"""

from asyncio import CancelledError
from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any


class Write:
    """`error` is what the write raised, if it has: it may come when nobody is there to be told.

    One that was given up has raised that, too; it must not reach whoever merely asks whether the write is over.
    """

    __slots__ = ("_awaited", "_steps", "error")

    def __init__(self, write: Awaitable[None]) -> None:
        self._steps: Generator[Any, Any, None] | None = None
        self._awaited: Any = None
        self.error: Exception | CancelledError | None = None
        self._step(write.__await__())

    @property
    def is_over(self) -> bool:
        while self._steps is not None and self._awaited.done():
            self._step(self._steps)
        return self._steps is None

    def cancel(self) -> None:
        """Give it up, if it waits."""
        if self._steps is not None:
            self._awaited.cancel()

    async def finish(self) -> None:
        """Wait for the end of it. Raises its error."""
        if not self.is_over and self._steps is not None:
            await _go_on(self._awaited, self._steps)
            self._steps = None
        if self.error is not None:
            raise self.error

    def _step(self, steps: Generator[Any, Any, None]) -> None:
        self._steps = None  # for good, unless it has to wait
        try:
            self._awaited = next(steps)
        except StopIteration:
            return
        except (Exception, CancelledError) as error:  # noqa: BLE001 - as many as there are transports
            self.error = error
            return
        self._steps = steps


@coroutine
def _go_on(awaited: Any, steps: Generator[Any, Any, None]) -> Generator[Any, Any, None]:  # noqa: ANN401 - a future
    yield awaited
    yield from steps
