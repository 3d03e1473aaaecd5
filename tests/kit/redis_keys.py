"""The names of an installation's keys in Redis, for tests that look at them or damage them."""

from db.engine import create_engine
from signalhub.redis_clients import RedisKeys
from signalhub.settings import Settings
from signalhub.streams.redis_state import RedisKeyLoader


async def read_redis_keys(settings: Settings) -> RedisKeys:
    engine = create_engine(settings.database_url)
    try:
        return await RedisKeyLoader(engine).load()
    finally:
        await engine.dispose()
