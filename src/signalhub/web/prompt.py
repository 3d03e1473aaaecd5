"""An answer in time, whatever happens behind it.

TradingView hangs up after three seconds and never sends again, so a late answer loses the signal and a quick 503 saves
it. Each step has a limit of its own; this one holds when several of them are nearly used up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from signalhub.domain.errors import SignalHubError

_OWED_S: Final = 1.8

P = ParamSpec("P")
T = TypeVar("T")


def promptly(handler: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Make `handler` refuse with `unavailable` when it takes too long. What it began may be done nevertheless."""

    @wraps(handler)
    async def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with asyncio.timeout(_OWED_S):
                return await handler(*args, **kwargs)
        except TimeoutError:
            sentence = "The database is slow; it is not known whether the signal was stored."
            raise SignalHubError("unavailable", sentence, retry_after=1) from None

    return limited
