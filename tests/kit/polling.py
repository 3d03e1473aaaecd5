"""Waiting for something to become true, by asking for it and never by a guess at how long it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


async def wait_until(probe: Callable[[], Awaitable[T]], *, timeout_s: float = 10.0, interval_s: float = 0.02) -> T:
    """The first answer that is true. Fails with the last one."""
    give_up = monotonic() + timeout_s
    while not (answer := await probe()):
        if monotonic() > give_up:
            raise AssertionError(f"still {answer!r} after {timeout_s} s")
        await asyncio.sleep(interval_s)
    return answer
