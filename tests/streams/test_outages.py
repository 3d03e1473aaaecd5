"""Redis carries the news and no fact: it may go, come back empty, or never have been there."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from db import epoch
from signalhub.embedded.valkey import Valkey
from signalhub.settings import Secret
from tests.kit import texts
from tests.kit.hub import Hub, running_hub
from tests.kit.processes import running_worker
from tests.kit.servers import Servers
from tests.kit.trader import closed, word
from tests.kit.waiting import until


@pytest.fixture
def valkey(tmp_path: Path) -> Valkey:
    """One of this test's own, which it may stop; not started yet."""
    return Valkey(tmp_path / "valkey", settings={"appendonly": "no"})


@pytest.fixture
async def lone_hub(servers: Servers, valkey: Valkey, tmp_path: Path) -> AsyncIterator[Hub]:
    settings = await servers.settings(redis_url=Secret(valkey.url), broker_profile="instant")
    valkey.start()
    async with running_hub(settings, tmp_path) as hub:
        yield hub
    valkey.stop()


async def test_without_redis_signals_are_taken_followed_and_run_when_it_is_back(
    lone_hub: Hub, valkey: Valkey, tmp_path: Path
) -> None:
    trader = await lone_hub.trader()
    async with trader.sse() as stream, trader.ws() as socket:
        await stream.ready()
        await word(socket)
        await asyncio.to_thread(valkey.stop)
        began = monotonic()
        sent = [await trader.send(texts.buy(number)) for number in range(5)]
        assert monotonic() - began < 2
        assert [frame.json["seq"] for frame in await stream.take(10)] == list(range(2, 12))
        assert [(await word(socket))["seq"] for _ in range(10)] == list(range(2, 12))
        ready = await lone_hub.http.get("/health/ready")
        assert (ready.status_code, ready.json()["redis"], ready.json()["relay"]) == (503, False, False)
        await asyncio.to_thread(valkey.start)
        async with running_worker(lone_hub.settings, tmp_path / "worker.log"):
            found = [(await stream.event()).json for _ in range(10)]
        assert [event["seq"] for event in found] == list(range(12, 22))
        assert {event["order_id"] for event in found} == {one["order_id"] for one in sent}
    assert (await lone_hub.http.get("/health/ready")).status_code == 200


async def test_a_new_epoch_ends_what_is_open_and_resets_who_comes_back(lone_hub: Hub) -> None:
    trader = await lone_hub.trader()
    async with trader.sse(after=0) as stream, trader.ws() as socket:
        await stream.ready()
        seen = await stream.event()
        async with lone_hub.house.engine.begin() as connection:
            renewed = await epoch.current(connection, renew=True)
        await stream.ended(5)
        assert await closed(socket) == 1001
    async with trader.sse(last_event_id=seen.id) as stream:
        assert (await stream.ready()).json["epoch"] == renewed
        reset = await stream.event()
    assert (reset.event, reset.json["reason"], reset.json["epoch"]) == ("stream.reset", "epoch", renewed)


async def test_a_server_that_shuts_down_ends_its_streams_and_leaves_in_time(lone_hub: Hub) -> None:
    trader = await lone_hub.trader()
    async with trader.sse() as stream, trader.ws() as socket:
        await stream.ready()
        await word(socket)
        began = monotonic()
        lone_hub.web.popen.send_signal(signal.SIGTERM)
        assert await closed(socket) == 1001
        await stream.ended(5)
        await until(lambda: _is_gone(lone_hub), timeout_s=10)
    assert monotonic() - began < 10
    assert lone_hub.web.popen.returncode == 0


async def _is_gone(hub: Hub) -> bool:
    return hub.web.popen.poll() is not None
