"""Redis behind Sentinel: every process follows a failover by itself, and streams lose nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit import signal_texts
from tests.kit.polling import wait_until
from tests.kit.processes import run_worker
from tests.kit.running_app import RunningApp, run_app
from tests.kit.sentinels import SentinelGroup
from tests.kit.servers import Servers


@pytest.fixture
async def sentinels(tmp_path: Path) -> AsyncIterator[SentinelGroup]:
    group = SentinelGroup(tmp_path)
    try:
        yield await group.start()
    finally:
        group.stop()


async def test_streams_and_orders_go_on_after_a_failover(
    servers: Servers, sentinels: SentinelGroup, tmp_path: Path
) -> None:
    settings = await servers.create_settings(redis_url=sentinels.url, broker_profile="instant")
    async with (
        run_app(settings, tmp_path) as app,
        run_worker(settings, tmp_path / "worker.log"),
    ):
        account = await app.create_account()
        async with account.open_sse() as stream:
            await stream.expect_ready()
            await account.send_signal(signal_texts.BUY)
            await stream.read_until("order.closed")
            sentinels.master.kill()
            for number in range(4):
                await account.send_signal(signal_texts.make_buy_text(number))
                await asyncio.sleep(0.5)
            await _wait_until_ready(app)
            await account.send_signal(signal_texts.make_buy_text(9))
            while sum(frame.event == "order.closed" for frame in stream.frames) < 6:
                await stream.next_event(timeout_s=15)
        seqs = [frame.json["seq"] for frame in stream.frames if frame.id]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


async def _wait_until_ready(app: RunningApp) -> None:
    """Wait until the new master is in use: for the time that the failover takes, and not for a timeout after it."""

    async def is_ready() -> bool:
        return (await app.http.get("/health/ready")).json()["redis"] is True

    await wait_until(is_ready)
