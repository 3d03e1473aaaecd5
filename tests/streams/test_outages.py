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
from tests.kit.hub import RunningApp, run_app
from tests.kit.processes import run_worker
from tests.kit.servers import Servers
from tests.kit.trader import receive_json, wait_for_close_code
from tests.kit.waiting import wait_until


@pytest.fixture
def valkey(tmp_path: Path) -> Valkey:
    """One of this test's own, which it may stop; not started yet."""
    return Valkey(tmp_path / "valkey", settings={"appendonly": "no"})


@pytest.fixture
async def lone_hub(servers: Servers, valkey: Valkey, tmp_path: Path) -> AsyncIterator[RunningApp]:
    settings = await servers.create_settings(redis_url=Secret(valkey.url), broker_profile="instant")
    valkey.start()
    async with run_app(settings, tmp_path) as hub:
        yield hub
    valkey.stop()


async def test_without_redis_signals_are_taken_followed_and_run_when_it_is_back(
    lone_hub: RunningApp, valkey: Valkey, tmp_path: Path
) -> None:
    trader = await lone_hub.create_account()
    async with trader.open_sse() as stream, trader.open_websocket() as socket:
        await stream.expect_ready()
        await receive_json(socket)
        await asyncio.to_thread(valkey.stop)
        began = monotonic()
        sent = [await trader.send_signal(texts.make_buy_text(number)) for number in range(5)]
        assert monotonic() - began < 2
        assert [frame.json["seq"] for frame in await stream.next_events(10)] == list(range(2, 12))
        assert [(await receive_json(socket))["seq"] for _ in range(10)] == list(range(2, 12))
        ready = await lone_hub.http.get("/health/ready")
        assert (ready.status_code, ready.json()["redis"], ready.json()["relay"]) == (503, False, False)
        await asyncio.to_thread(valkey.start)
        async with run_worker(lone_hub.settings, tmp_path / "worker.log"):
            found = [(await stream.next_event()).json for _ in range(10)]
        assert [event["seq"] for event in found] == list(range(12, 22))
        assert {event["order_id"] for event in found} == {one["order_id"] for one in sent}
    assert (await lone_hub.http.get("/health/ready")).status_code == 200


async def test_a_new_epoch_ends_what_is_open_and_resets_who_comes_back(lone_hub: RunningApp) -> None:
    trader = await lone_hub.create_account()
    async with trader.open_sse(after=0) as stream, trader.open_websocket() as socket:
        await stream.expect_ready()
        seen = await stream.next_event()
        async with lone_hub.services.engine.begin() as connection:
            renewed = await epoch.get_or_create(connection, renew=True)
        await stream.wait_until_closed(5)
        assert await wait_for_close_code(socket) == 1001
    async with trader.open_sse(last_event_id=seen.id) as stream:
        assert (await stream.expect_ready()).json["epoch"] == renewed
        reset = await stream.next_event()
    assert (reset.event, reset.json["reason"], reset.json["epoch"]) == ("stream.reset", "epoch", renewed)


async def test_a_server_that_shuts_down_ends_its_streams_and_leaves_in_time(lone_hub: RunningApp) -> None:
    trader = await lone_hub.create_account()
    async with trader.open_sse() as stream, trader.open_websocket() as socket:
        await stream.expect_ready()
        await receive_json(socket)
        began = monotonic()
        lone_hub.web.popen.send_signal(signal.SIGTERM)
        assert await wait_for_close_code(socket) == 1001
        await stream.wait_until_closed(5)
        await wait_until(lambda: _is_gone(lone_hub), timeout_s=10)
    assert monotonic() - began < 10
    assert lone_hub.web.popen.returncode == 0


async def _is_gone(hub: RunningApp) -> bool:
    return hub.web.popen.poll() is not None
