"""The cost of an event in a relay by the number of watched accounts. The sender is another process and not counted."""

import asyncio
import multiprocessing
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from db.engine import create_engine
from signalhub.domain.events import Event
from signalhub.settings import Settings
from signalhub.streams import redis_stream
from signalhub.streams.stream_relay import Relay
from tests.kit.polling import wait_until


async def measure_cost_us(settings: Settings, account_count: int, event_count: int) -> float:
    """Return the processor time for one event of many, spread over accounts that each have a listener."""
    engine = create_engine(settings.database_url)
    relay = Relay(engine, settings.redis_url)
    await relay.start()
    ids = [f"00000000-0000-7000-8000-{number:012x}" for number in range(account_count)]
    async with AsyncExitStack() as watching:
        channels = await asyncio.gather(*(watching.enter_async_context(relay.open_channel(id_)) for id_ in ids))
        await asyncio.gather(*(relay.read_head(channel, None) for channel in channels))  # as each subscriber does
        await wait_until(lambda: _to_awaitable(relay.is_reading), timeout_s=5)
        began = time.process_time()
        sender = multiprocessing.get_context("spawn").Process(
            target=_run_sender, args=(settings.redis_url, ids, event_count)
        )
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


def _run_sender(url: str, ids: list[str], events: int) -> None:
    asyncio.run(_publish_events(url, ids, events))


async def _publish_events(url: str, ids: list[str], events: int) -> None:
    """Publish one entry for each event, so that runs differ only in the number of accounts."""
    redis, body = redis_stream.connect(url, timeout_s=5.0), b'{"note":"%b"}' % (b"x" * 250)
    for number in range(events):
        event = Event(
            account_id=ids[number % len(ids)],
            seq=number // len(ids) + 1,
            type="order.executed",
            at=datetime.now(UTC),
            order_id=None,
            signal_id=None,
            body=body,
            hash=b"",
        )
        await redis_stream.publish(redis, [event])
    await redis.aclose()
