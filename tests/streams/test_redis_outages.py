"""Streams and signals while Redis is away or comes back empty: no event is kept there alone."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from db import epoch
from signalhub.embedded.valkey import Valkey
from signalhub.settings import Secret
from tests.kit import signal_texts
from tests.kit.account_client import receive_json, wait_for_close_code
from tests.kit.polling import wait_until
from tests.kit.processes import run_worker
from tests.kit.running_app import RunningApp, run_app
from tests.kit.servers import Servers


@pytest.fixture
def valkey(tmp_path: Path) -> Valkey:
    """Return a server that only this test uses, not started yet."""
    return Valkey(tmp_path / "valkey", settings={"appendonly": "no"})


@pytest.fixture
async def app_with_own_redis(servers: Servers, valkey: Valkey, tmp_path: Path) -> AsyncIterator[RunningApp]:
    settings = await servers.create_settings(redis_url=Secret(valkey.url), broker_profile="instant")
    valkey.start()
    async with run_app(settings, tmp_path) as app:
        yield app
    valkey.stop()


async def test_signals_are_ingested_and_streamed_without_redis(
    app_with_own_redis: RunningApp, valkey: Valkey, tmp_path: Path
) -> None:
    account = await app_with_own_redis.create_account()
    async with account.open_sse() as stream, account.open_websocket() as socket:
        await stream.expect_ready()
        await receive_json(socket)
        await asyncio.to_thread(valkey.stop)
        started_at = monotonic()
        sent = [await account.send_signal(signal_texts.make_buy_text(number)) for number in range(5)]
        assert monotonic() - started_at < 2
        assert [frame.json["seq"] for frame in await stream.next_events(10)] == list(range(2, 12))
        assert [(await receive_json(socket))["seq"] for _ in range(10)] == list(range(2, 12))
        ready = await app_with_own_redis.http.get("/health/ready")
        assert (ready.status_code, ready.json()["redis"], ready.json()["relay"]) == (200, False, False)
        assert ready.json()["status"] == "degraded"
        await asyncio.to_thread(valkey.start)
        async with run_worker(app_with_own_redis.settings, tmp_path / "worker.log"):
            orders = [(await stream.next_event()).json for _ in range(10)]
        assert [event["seq"] for event in orders] == list(range(12, 22))
        assert {event["order_id"] for event in orders} == {signal["order_id"] for signal in sent}
    ready = await app_with_own_redis.http.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")


async def test_new_epoch_closes_streams_and_resets_cursors(app_with_own_redis: RunningApp) -> None:
    account = await app_with_own_redis.create_account()
    async with account.open_sse(after=0) as stream, account.open_websocket() as socket:
        await stream.expect_ready()
        seen = await stream.next_event()
        async with app_with_own_redis.services.engine.begin() as connection:
            renewed = await epoch.get_or_create(connection, renew=True)
        await stream.wait_until_closed(5)
        assert await wait_for_close_code(socket) == 1001
    async with account.open_sse(last_event_id=seen.id) as stream:
        assert (await stream.expect_ready()).json["epoch"] == renewed
        reset = await stream.next_event()
    assert (reset.event, reset.json["reason"], reset.json["epoch"]) == ("stream.reset", "epoch", renewed)


async def test_shutdown_closes_streams_and_exits_in_time(app_with_own_redis: RunningApp) -> None:
    account = await app_with_own_redis.create_account()
    async with account.open_sse() as stream, account.open_websocket() as socket:
        await stream.expect_ready()
        await receive_json(socket)
        started_at = monotonic()
        app_with_own_redis.web.popen.send_signal(signal.SIGTERM)
        assert await wait_for_close_code(socket) == 1001
        await stream.wait_until_closed(5)
        await wait_until(lambda: _has_exited(app_with_own_redis), timeout_s=10)
    assert monotonic() - started_at < 10
    assert app_with_own_redis.web.popen.returncode == 0


async def _has_exited(app: RunningApp) -> bool:
    return app.web.popen.poll() is not None
