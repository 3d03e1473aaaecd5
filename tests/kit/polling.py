"""Wait for a condition by polling it, never by sleeping for an estimated time."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


async def wait_until(probe: Callable[[], Awaitable[T]], *, timeout_s: float = 10.0, interval_s: float = 0.02) -> T:
    """Return the first result that is true. On timeout raise AssertionError with the last result."""
    deadline = monotonic() + timeout_s
    while not (result := await probe()):
        if monotonic() > deadline:
            raise AssertionError(f"still {result!r} after {timeout_s} s")
        await asyncio.sleep(interval_s)
    return result
