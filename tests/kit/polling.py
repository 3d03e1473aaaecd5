"""Wait for a condition by polling it, never by sleeping for an estimated time."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, TypeVar

T = TypeVar("T")

WAIT_LIMIT_S: Final = 30.0
"""How long to wait for what must happen. A passing test never waits for it, so it allows for a very busy machine."""


async def wait_until(
    probe: Callable[[], Awaitable[T]], *, timeout_s: float = WAIT_LIMIT_S, interval_s: float = 0.02
) -> T:
    """Return the first result that is true. On timeout raise AssertionError with the last result."""
    deadline = monotonic() + timeout_s
    while not (result := await probe()):
        if monotonic() > deadline:
            raise AssertionError(f"still {result!r} after {timeout_s} s")
        await asyncio.sleep(interval_s)
    return result
