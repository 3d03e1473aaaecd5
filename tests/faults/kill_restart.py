"""Faults by name. Each restarts what does not restart by itself."""

import asyncio
import random
from collections.abc import Mapping
from typing import Final

from tests.faults.chaos_runs import FaultInjector
from tests.kit.stack import FrozenProcess, Stack

_rng = random.SystemRandom()


async def kill_worker_process(stack: Stack) -> None:
    """`kill -9` a worker process."""
    await asyncio.to_thread(stack.worker.kill_child)


async def kill_web_process(stack: Stack) -> None:
    """`kill -9` a web process."""
    await asyncio.to_thread(stack.web.kill_child)


async def kill_main_processes(stack: Stack) -> None:
    """`kill -9` the first processes of both commands."""
    stack.web.kill_main()
    stack.worker.kill_main()


async def stop_redis_briefly(stack: Stack) -> None:
    """`kill -9` Valkey and restart it after two seconds."""
    await stack.restart_valkey(down_s=2.0)


async def restart_redis_empty(stack: Stack) -> None:
    """`kill -9` Valkey and restart it at once without its data."""
    await stack.restart_valkey(empty=True)


async def freeze_redis(stack: Stack) -> None:
    """Freeze Valkey for longer than any client waits: connections stay open without an answer."""
    with FrozenProcess(stack.valkey.pid):
        await asyncio.sleep(6.0)


async def freeze_postgres(stack: Stack) -> None:
    """Freeze PostgreSQL for three seconds."""
    with FrozenProcess(stack.postgres.pid):
        await asyncio.sleep(3.0)


async def kill_postgres(stack: Stack) -> None:
    """`kill -9` every process of PostgreSQL."""
    await stack.restart_postgres()


async def stop_postgres_immediately(stack: Stack) -> None:
    """Stop PostgreSQL in immediate mode and restart it after half a second."""
    await stack.restart_postgres(immediate=True, down_s=0.5)


async def inject_redis_fault(stack: Stack) -> None:
    await _rng.choice((stop_redis_briefly, restart_redis_empty, freeze_redis))(stack)


async def inject_postgres_fault(stack: Stack) -> None:
    await _rng.choice((kill_postgres, stop_postgres_immediately, freeze_postgres))(stack)


async def inject_any_fault(stack: Stack) -> None:
    await _rng.choice(
        (kill_worker_process, kill_web_process, kill_main_processes, inject_redis_fault, inject_postgres_fault)
    )(stack)


FAULTS_BY_NAME: Final[Mapping[str, FaultInjector]] = {
    "worker": kill_worker_process,
    "hostile": kill_worker_process,
    "web": kill_web_process,
    "redis": inject_redis_fault,
    "postgres": inject_postgres_fault,
    "all": inject_any_fault,
}
