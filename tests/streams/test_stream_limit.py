"""An account at its limit of streams: who gives way, who has to wait, and how each of them is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.frames import Close

from tests.kit.account_client import AccountClient, receive_json, wait_for_close
from tests.kit.running_app import RunningApp, run_app
from tests.kit.servers import Servers
from tests.kit.sse_stream import SseStream, open_sse, parse_frame

MAX_STREAMS = 10
SLOW_READER_S = 1.0
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
REQUESTS = {
    "sse": ("/api/v1/stream", {"Accept": "text/event-stream"}),
    "websocket": ("/ws/stream", UPGRADE),
    "older websocket": ("/ws/orders/", UPGRADE),
}


@pytest.fixture(scope="module")
async def limited_app(servers: Servers, logs: Path) -> AsyncIterator[RunningApp]:
    settings = await servers.create_settings(
        max_streams_per_account=MAX_STREAMS, slow_reader_s=SLOW_READER_S, heartbeat_s=0.2
    )
    async with run_app(settings, logs) as running:
        yield running


@pytest.fixture
async def account(limited_app: RunningApp) -> AccountClient:
    return await limited_app.create_account()


@asynccontextmanager
async def _hold_frozen_streams(account: AccountClient, transport: str, count: int) -> AsyncIterator[None]:
    """Hold streams open on sockets that read the head of the response and nothing after it."""
    path, headers = REQUESTS[transport]
    url = account.http.base_url
    lines = [f"GET {path} HTTP/1.1", f"Host: {url.netloc.decode()}", f"X-API-Key: {account.api_key}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writers = []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(url.host, url.port, limit=512)
            writers.append(writer)
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            await reader.readuntil(b"\r\n\r\n")
        yield
    finally:
        for writer in writers:
            writer.close()


def _open_event_source(account: AccountClient, **params: str) -> Any:  # noqa: ANN401 - httpx's context manager
    headers = account.headers | {"Accept": "text/event-stream"}
    return account.http.stream("GET", "/api/v1/stream", params=params, headers=headers)


async def _read_refusal(response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    """Return the data of the only event in a body, which says when to come back and moves no cursor."""
    assert response.status_code == 200
    block, end = (await response.aread()).split(b"\n\n")
    frame = parse_frame(block)
    assert end == b""
    assert (frame.id, frame.event, frame.retry) == (None, frame.json["type"], frame.json["retry_ms"])
    return frame.json


@pytest.mark.parametrize("transport", REQUESTS)
async def test_frozen_readers_give_way_to_new_streams(account: AccountClient, transport: str) -> None:
    async with _hold_frozen_streams(account, transport, MAX_STREAMS):
        async with _open_event_source(account) as response:
            assert (await _read_refusal(response))["type"] == "stream.full"
        await asyncio.sleep(SLOW_READER_S)
        async with account.open_sse() as stream, account.open_websocket() as socket:
            await stream.expect_ready()
            assert (await receive_json(socket))["type"] == "stream.ready"
            await account.send_signal()
            assert (await stream.next_event()).json["seq"] == (await receive_json(socket))["seq"] == 2


async def test_stream_that_acknowledged_least_lately_is_replaced(account: AccountClient) -> None:
    async with AsyncExitStack() as opened:
        first: SseStream = await opened.enter_async_context(account.open_sse())
        await opened.enter_async_context(_hold_frozen_streams(account, "sse", MAX_STREAMS - 1))
        ready = await first.expect_ready()
        await asyncio.sleep(SLOW_READER_S)
        await opened.enter_async_context(account.open_sse())
        await first.wait_until_closed(2)
        last = first.frames[-1]
        assert (last.event, last.id, last.retry) == ("stream.replaced", None, last.json["retry_ms"])
        assert 3000 <= last.json["retry_ms"] <= 6000
        await account.send_signal()
        again: SseStream = await opened.enter_async_context(account.open_sse(last_event_id=ready.id))
        await again.expect_ready()
        assert [frame.json["seq"] for frame in await again.next_events(2)] == [2, 3]


async def test_replaced_websocket_is_closed_with_reason(account: AccountClient) -> None:
    async with (
        account.open_websocket() as socket,
        account.open_websocket("/ws/orders/") as older_socket,
        _hold_frozen_streams(account, "sse", MAX_STREAMS - 2),
    ):
        await receive_json(socket)
        await receive_json(older_socket)
        await asyncio.sleep(SLOW_READER_S)
        async with account.open_sse(), account.open_sse():
            assert (await receive_json(socket))["type"] == "stream.replaced"
            assert await wait_for_close(socket) == await wait_for_close(older_socket) == Close(1013, "replaced")


async def test_streams_that_acknowledged_lately_are_not_replaced(account: AccountClient) -> None:
    """Or readers that share too few streams would replace each other at once and without end."""
    async with _hold_frozen_streams(account, "sse", MAX_STREAMS - 1), account.open_sse() as stream:
        await stream.expect_ready()
        for _ in range(10):
            async with _open_event_source(account) as response:
                full = await _read_refusal(response)
                assert 3000 <= full["retry_ms"] <= 6000
        response = await account.request("GET", "/api/v1/stream")
        assert (response.status_code, response.json()["code"]) == (429, "too_many_streams")
        assert response.headers["Retry-After"]
        async with account.open_websocket() as socket:
            assert (await receive_json(socket))["type"] == "stream.full"
            assert await wait_for_close(socket) == Close(1013, "too_many_streams")
        async with account.open_websocket("/ws/orders/") as socket:
            assert await wait_for_close(socket) == Close(1013, "too_many_streams")
        assert await stream.is_silent()


async def test_browser_that_had_to_wait_comes_back_with_its_cookie(account: AccountClient) -> None:
    """Its ticket is spent on the attempt that was told to wait."""
    ticket = (await account.post("/api/v1/tickets"))["ticket"]
    async with (
        _hold_frozen_streams(account, "sse", MAX_STREAMS),
        account.http.stream(
            "GET", "/api/v1/stream", params={"ticket": ticket}, headers={"Accept": "text/event-stream"}
        ) as response,
    ):
        assert (await _read_refusal(response))["type"] == "stream.full"
        cookie = response.headers["set-cookie"].partition(";")[0]
    async with open_sse(account.http, headers={"Cookie": cookie}, ticket=ticket) as stream:
        await stream.expect_ready()


async def test_websocket_that_answers_heartbeats_is_not_replaced(account: AccountClient) -> None:
    async with account.open_websocket() as socket, _hold_frozen_streams(account, "sse", MAX_STREAMS - 1):

        async def answer_heartbeats() -> None:
            async for frame in socket:
                if msgspec.json.decode(frame)["type"] == "stream.heartbeat":
                    await socket.send('{"type":"pong"}')

        answering = asyncio.create_task(answer_heartbeats())
        await asyncio.sleep(SLOW_READER_S)
        async with account.open_sse() as stream:
            await stream.expect_ready()
            await asyncio.sleep(0.2)
            assert not answering.done()
        answering.cancel()


async def test_websocket_that_stops_answering_heartbeats_is_closed(account: AccountClient) -> None:
    async with account.open_websocket() as answering, account.open_websocket() as silent:
        await receive_json(answering)
        await answering.send('{"type":"pong"}')
        assert await wait_for_close(answering, 4) == Close(1001, "unanswered heartbeats")
        await silent.send('{"type":"ping"}')
        assert (await receive_json(silent))["type"] == "stream.ready"
        assert (await receive_json(silent))["type"] == "pong"


async def test_unavailable_service_makes_an_event_source_come_back(
    limited_app: RunningApp, account: AccountClient
) -> None:
    await limited_app.execute_sql("ALTER TABLE accounts RENAME TO hidden_accounts")
    try:
        async with _open_event_source(account) as response:
            refusal = await _read_refusal(response)
    finally:
        await limited_app.execute_sql("ALTER TABLE hidden_accounts RENAME TO accounts")
    assert refusal["type"] == "stream.unavailable"
    assert 800 <= refusal["retry_ms"] <= 2200
    async with _open_event_source(account) as response:
        assert b"stream.ready" in await anext(response.aiter_raw())
