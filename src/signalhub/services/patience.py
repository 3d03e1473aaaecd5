"""A wait with an end, for what seldom waits: the timer is set only once there is something to wait for.

A broker that is a function answers in its caller's own time, and a timer for each of its answers would be a tenth of
what they cost.
"""

import asyncio
from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def timeout_if_pending(timeout_s: float | None, awaitable: Awaitable[Result]) -> Result:
    """What `asked` gives. Raises TimeoutError after `seconds`, and cancels it; None is for ever."""
    steps = awaitable.__await__()
    try:
        awaited = next(steps)
    except StopIteration as answer:
        result: Result = answer.value
        return result
    async with asyncio.timeout(timeout_s):
        return await _resume_pending(awaited, steps)


@coroutine
def _resume_pending(awaited: Any, steps: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:  # noqa: ANN401 - a future
    """Wait for `awaited`, which `steps` waits for, and then for all the rest."""
    while True:
        try:
            yield awaited
        except BaseException as error:  # noqa: BLE001 - a cancellation is theirs to hear
            try:
                awaited = steps.throw(error)
            except StopIteration as answer:
                result: Result = answer.value
                return result
        else:
            return (yield from steps)
