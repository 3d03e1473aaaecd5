"""The cost of an event in a relay by the number of watched accounts. The sender is another process and not counted."""

import asyncio
import multiprocessing
import time
import uuid
from contextlib import AsyncExitStack
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from db import event_log
from db.engine import create_engine
from signalhub import redis_clients
from signalhub.domain.events import NewEvent
from signalhub.settings import Settings
from signalhub.streams import redis_stream
from signalhub.streams.redis_state import RedisKeyLoader
from signalhub.streams.stream_relay import Relay
from tests.kit.polling import wait_until

_INSERT_ACCOUNTS: Final = text("""
    INSERT INTO accounts (id, username) SELECT id, id::text FROM unnest(CAST(:ids AS uuid[])) AS new (id)
""")


async def measure_cost_us(settings: Settings, account_count: int, event_count: int) -> float:
    """Return the processor time for one event of many, spread over accounts that each have a listener."""
    engine = create_engine(settings.database_url)
    relay = Relay(engine, settings.redis_url)
    await relay.start()
    ids = await _create_accounts(engine, account_count)
    async with AsyncExitStack() as watching:
        channels = await asyncio.gather(*(watching.enter_async_context(relay.open_channel(id_)) for id_ in ids))
        await asyncio.gather(*(relay.read_head(channel, None) for channel in channels))  # as each subscriber does
        await wait_until(lambda: _to_awaitable(relay.is_reading), timeout_s=5)
        began = time.process_time()
        sender = multiprocessing.get_context("spawn").Process(target=_run_sender, args=(settings, ids, event_count))
        sender.start()
        last = channels[(event_count - 1) % account_count]
        await wait_until(lambda: _to_awaitable(last.head > (event_count - 1) // account_count), timeout_s=60)
        spent_s = time.process_time() - began
        sender.join()
    await relay.stop()
    await engine.dispose()
    return spent_s / event_count * 1e6


async def _to_awaitable(value: bool) -> bool:  # noqa: FBT001 - the result of the probe
    return value


def _run_sender(settings: Settings, ids: list[str], events: int) -> None:
    asyncio.run(_send_events(settings, ids, events))


async def _send_events(settings: Settings, ids: list[str], event_count: int) -> None:
    """Publish one entry for each event, so that runs differ only in the number of accounts."""
    engine, redis = create_engine(settings.database_url), redis_clients.connect_async(settings.redis_url, timeout_s=5.0)
    stream_key = (await RedisKeyLoader(engine).load()).events
    for start in range(0, event_count, len(ids)):
        new_events = [
            NewEvent(type="order.executed", account_id=id_, data={"note": "x" * 250}, trace_id="0" * 32)
            for id_ in ids[: event_count - start]
        ]
        async with engine.begin() as connection:
            heads = await event_log.lock_heads(connection, {event.account_id for event in new_events})
            events = await event_log.append_events(connection, heads, new_events)
        for event in events:
            await redis_stream.publish(redis, stream_key, [event])
    await redis.aclose()
    await engine.dispose()


async def _create_accounts(engine: AsyncEngine, count: int) -> list[str]:
    ids = [str(uuid.uuid4()) for _ in range(count)]
    async with engine.begin() as connection:
        await connection.execute(_INSERT_ACCOUNTS, {"ids": ids})
    return ids
