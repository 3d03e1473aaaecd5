"""The blows, by name. Each brings back what does not come back by itself."""

import asyncio
import random
from collections.abc import Mapping
from typing import Final

from tests.faults.campaign import Strike
from tests.kit.stack import Frozen, Stack

_random = random.SystemRandom()


async def worker(stack: Stack) -> None:
    """`kill -9` a Dramatiq worker process; the command's first process then gives up too."""
    await asyncio.to_thread(stack.worker.kill_child)


async def web(stack: Stack) -> None:
    """`kill -9` a web process."""
    await asyncio.to_thread(stack.web.kill_child)


async def mains(stack: Stack) -> None:
    """`kill -9` the first processes of both commands."""
    stack.web.kill_main()
    stack.worker.kill_main()


async def redis_away(stack: Stack) -> None:
    """`kill -9` Valkey, and bring it back after two seconds."""
    await stack.restart_valkey(down_s=2.0)


async def redis_empty(stack: Stack) -> None:
    """`kill -9` Valkey, and bring it back at once with nothing in it."""
    await stack.restart_valkey(empty=True)


async def redis_hung(stack: Stack) -> None:
    """Freeze Valkey for longer than any client waits for it: connections stay open and nobody answers."""
    with Frozen(stack.valkey.pid):
        await asyncio.sleep(6.0)


async def postgres_hung(stack: Stack) -> None:
    """Freeze PostgreSQL for three seconds."""
    with Frozen(stack.postgres.pid):
        await asyncio.sleep(3.0)


async def postgres_killed(stack: Stack) -> None:
    """`kill -9` every process of PostgreSQL."""
    await stack.restart_postgres()


async def postgres_stopped(stack: Stack) -> None:
    """Stop PostgreSQL the immediate way, and bring it back after half a second."""
    await stack.restart_postgres(immediate=True, down_s=0.5)


async def redis(stack: Stack) -> None:
    await _random.choice((redis_away, redis_empty, redis_hung))(stack)


async def postgres(stack: Stack) -> None:
    await _random.choice((postgres_killed, postgres_stopped, postgres_hung))(stack)


async def anything(stack: Stack) -> None:
    await _random.choice((worker, web, mains, redis, postgres))(stack)


BY_NAME: Final[Mapping[str, Strike]] = {
    "worker": worker,
    "hostile": worker,
    "web": web,
    "redis": redis,
    "postgres": postgres,
    "all": anything,
}
