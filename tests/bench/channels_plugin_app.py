"""The fan-out baseline: Litestar's channels plugin over a Redis stream, for SSE and for WebSocket."""

import os
from collections.abc import AsyncIterator

from litestar import Litestar, get
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.redis import RedisChannelsStreamBackend
from litestar.response import ServerSentEvent
from redis.asyncio import Redis

# How long the plugin waits in a read. With its default of 1 ms polling would dominate its processor time.
READ_BLOCK_MS = 100


def create_backend() -> RedisChannelsStreamBackend:
    redis = Redis.from_url(os.environ["BENCH_REDIS_URL"], socket_timeout=None)
    return RedisChannelsStreamBackend(history=100, redis=redis, stream_sleep_no_subscriptions=READ_BLOCK_MS)


@get("/sse/{name:str}")
async def stream_sse(name: str, channels: ChannelsPlugin) -> ServerSentEvent:
    return ServerSentEvent(_iterate_bodies(name, channels))


async def _iterate_bodies(name: str, channels: ChannelsPlugin) -> AsyncIterator[str]:
    async with channels.start_subscription(name) as subscriber:
        async for body in subscriber.iter_events():
            yield body.decode()


def app() -> Litestar:
    plugin = ChannelsPlugin(
        create_backend(), arbitrary_channels_allowed=True, create_ws_route_handlers=True, ws_handler_base_path="/ws"
    )
    return Litestar([stream_sse], plugins=[plugin], logging_config=None, openapi_config=None)
