"""A stream ends by its lifetime, and a client that resumes at its cursor loses nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from tests.kit.account_client import AccountClient, receive_json
from tests.kit.running_app import RunningApp, run_app
from tests.kit.servers import Servers

EVENT_COUNT = 60


@pytest.fixture(scope="module")
async def short_stream_app(servers: Servers, logs: Path) -> AsyncIterator[RunningApp]:
    """Run a service that ends each stream after about 0.3 s, without heartbeats in between."""
    async with run_app(await servers.create_settings(stream_lifetime_s=0.3, heartbeat_s=5), logs) as running:
        yield running


async def _publish_slowly(app: RunningApp, account: AccountClient) -> None:
    """Append events for about 1.2 s, so that some are published while no stream is open."""
    for _ in range(EVENT_COUNT - 1):
        await app.publish_events(await app.append_events(account, 1))
        await asyncio.sleep(0.02)


async def test_sse_stream_ended_by_its_lifetime_resumes_without_loss(short_stream_app: RunningApp) -> None:
    account = await short_stream_app.create_account()
    seqs: list[int] = []
    cursor, stream_count = "0", 0
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(_publish_slowly(short_stream_app, account))
        while len(seqs) < EVENT_COUNT:
            async with account.open_sse(last_event_id=cursor) as stream:
                await stream.wait_until_closed(2)
            ready, *events = [frame for frame in stream.frames if frame.event is not None]
            assert ready.event == "stream.ready"
            assert ready.json["seq"] == (seqs[-1] if seqs else 0)
            seqs += [event.json["seq"] for event in events]
            cursor, stream_count = stream.frames[-1].id or "", stream_count + 1
            await asyncio.sleep(0.05)
    assert seqs == list(range(1, EVENT_COUNT + 1))
    assert stream_count > 2


async def _read_until_closed(socket: ClientConnection) -> tuple[list[int], Close | None]:
    """Return the `seq`s up to the end of the stream, and the close frame."""
    seqs: list[int] = []
    try:
        while True:
            seqs.append((await receive_json(socket))["seq"])
    except ConnectionClosed as closed:
        return seqs, closed.rcvd


async def test_websocket_ended_by_its_lifetime_resumes_without_loss(short_stream_app: RunningApp) -> None:
    account = await short_stream_app.create_account()
    seqs: list[int] = []
    cursor, close_frames = "0", list[Close | None]()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(_publish_slowly(short_stream_app, account))
        while len(seqs) < EVENT_COUNT:
            async with account.open_websocket(after=cursor) as socket:
                epoch = (await receive_json(socket))["epoch"]
                received, close_frame = await _read_until_closed(socket)
            seqs += received
            close_frames.append(close_frame)
            cursor = f"{epoch}-{seqs[-1]}"
            await asyncio.sleep(0.05)
    assert seqs == list(range(1, EVENT_COUNT + 1))
    assert len(close_frames) > 2
    assert all(close_frame == Close(1001, "lifetime") for close_frame in close_frames)
