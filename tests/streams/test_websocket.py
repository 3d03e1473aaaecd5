"""The event log over WebSocket, on the canonical path and on the paths of the older clients."""

import asyncio
from typing import Any

import msgspec
import pytest
from websockets.frames import Close

from signalhub.web.auth import SESSION_COOKIE, create_session_cookie
from tests.kit import signal_texts
from tests.kit.account_client import (
    AccountClient,
    connect_websocket,
    receive_json,
    wait_for_close,
    wait_for_close_code,
)
from tests.kit.running_app import RunningApp


async def test_first_frame_is_ready(account: AccountClient) -> None:
    page = await account.get("/api/v1/events")
    async with account.open_websocket() as socket:
        position = {"epoch": page["epoch"], "seq": 1, "head": 1}
        assert await receive_json(socket) == {"type": "stream.ready", **position, "heartbeat_s": 0.5}


async def test_event_is_one_frame(account: AccountClient) -> None:
    async with account.open_websocket(after=0) as socket:
        await receive_json(socket)
        await account.send_signal()
        assert [(await receive_json(socket))["seq"] for _ in range(3)] == [1, 2, 3]


async def test_batch_mode_sends_json_arrays(app: RunningApp, account: AccountClient) -> None:
    await app.append_events(account, 700)
    frames: list[Any] = []
    async with account.open_websocket(after=0, batch=1) as socket:
        await receive_json(socket)
        while len(frames) < 701:
            batch = await receive_json(socket)
            assert isinstance(batch, list)
            assert batch
            frames += batch
    assert [event["seq"] for event in frames] == list(range(1, 702))


async def test_filter_selects_event_types(account: AccountClient) -> None:
    async with account.open_websocket(types="order.*") as socket:
        await receive_json(socket)
        await account.send_signal()
        assert (await receive_json(socket))["type"] == "order.pending"


async def test_invalid_cursor_is_reset(account: AccountClient) -> None:
    async with account.open_websocket(after="zzzz-1") as socket:
        assert (await receive_json(socket))["type"] == "stream.ready"
        reset = await receive_json(socket)
        assert (reset["type"], reset["reason"], reset["seq"]) == ("stream.reset", "epoch", 1)


async def test_pruned_events_are_reported_as_one_gap(app: RunningApp, account: AccountClient) -> None:
    await app.append_events(account, 4)
    await app.execute_sql("DELETE FROM events WHERE account_id = CAST(:id AS uuid) AND seq <= 3", id=account.id)
    async with account.open_websocket(after=0) as socket:
        await receive_json(socket)
        gap = await receive_json(socket)
        assert (gap["type"], gap["first"], gap["last"]) == ("stream.gap", 1, 3)
        assert (await receive_json(socket))["seq"] == 4


async def test_heartbeat_carries_seq_of_a_filtered_stream(account: AccountClient) -> None:
    async with account.open_websocket(types="order.executed") as socket:
        ready = await receive_json(socket)
        await account.send_signal()
        async with asyncio.timeout(5):
            while (beat := msgspec.json.decode(await socket.recv()))["seq"] < 3:
                assert beat["type"] == "stream.heartbeat"
    assert beat == {"type": "stream.heartbeat", "epoch": ready["epoch"], "seq": 3}


async def test_oversized_client_message_closes_the_socket(account: AccountClient) -> None:
    async with account.open_websocket() as socket:
        await receive_json(socket)
        await socket.send("x" * 5000)
        assert await wait_for_close_code(socket) == 1009


async def test_ping_message_is_answered_with_pong(account: AccountClient) -> None:
    async with account.open_websocket() as socket:
        await receive_json(socket)
        await socket.send('{"type":"ping"}')
        assert await receive_json(socket) == {"type": "pong"}


@pytest.mark.parametrize("noise", ["", "nonsense", "[1]", "null", '{"type": 5}', "{" * 500, b"\x00\xff"])
async def test_unknown_client_messages_are_ignored(account: AccountClient, noise: str | bytes) -> None:
    async with account.open_websocket() as socket:
        await receive_json(socket)
        await socket.send(noise)
        await socket.send('{"type":"ping"}')
        assert await receive_json(socket) == {"type": "pong"}
        await account.send_signal()
        assert (await receive_json(socket))["seq"] == 2


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
async def test_header_key_authenticates(account: AccountClient, header: str) -> None:
    value = account.api_key if header == "X-API-Key" else f"Bearer {account.api_key}"
    async with connect_websocket(account.http, "/ws/stream", headers={header: value}) as socket:
        assert (await receive_json(socket))["type"] == "stream.ready"


async def test_first_message_key_authenticates(account: AccountClient) -> None:
    async with connect_websocket(account.http, "/ws/stream") as socket:
        await socket.send(msgspec.json.encode({"type": "authenticate", "api_key": account.api_key}), text=True)
        assert (await receive_json(socket))["type"] == "stream.ready"


@pytest.mark.parametrize(
    "first", ["hello", '{"type":"authenticate"}', '{"type":"authenticate","api_key":"shk_x"}', '{"type":"ping"}', b"\0"]
)
async def test_first_message_without_credential_closes_with_4401(account: AccountClient, first: str | bytes) -> None:
    async with connect_websocket(account.http, "/ws/stream") as socket:
        await socket.send(first)
        assert await wait_for_close_code(socket) == 4401


async def test_silent_socket_is_asked_for_a_key_and_closed_after_five_seconds(account: AccountClient) -> None:
    async with (
        connect_websocket(account.http, "/ws/stream") as silent,
        connect_websocket(account.http, "/ws/orders/") as silent_legacy,
    ):
        notices = await asyncio.gather(receive_json(silent, 1), receive_json(silent_legacy, 1))
        assert list(notices) == 2 * [{"type": "authenticate", "within_s": 5}]
        assert set(await asyncio.gather(wait_for_close_code(silent), wait_for_close_code(silent_legacy))) == {4401}


@pytest.mark.parametrize(("path", "first"), [("/ws/stream", "stream.ready"), ("/ws/orders/", "connection_established")])
@pytest.mark.parametrize("is_late", [False, True])
async def test_key_after_the_notice_authenticates(account: AccountClient, path: str, first: str, is_late: bool) -> None:  # noqa: FBT001 - a parameter
    async with connect_websocket(account.http, path) as socket:
        if is_late:
            assert (await receive_json(socket))["type"] == "authenticate"
        await socket.send(msgspec.json.encode({"type": "authenticate", "api_key": account.api_key}), text=True)
        assert (await receive_json(socket))["type"] == first


@pytest.mark.parametrize("path", ["/ws/stream", "/ws/orders/", "/ws/signals/invalid/"])
async def test_wrong_key_closes_with_4401(account: AccountClient, path: str) -> None:
    async with connect_websocket(account.http, path, headers={"X-API-Key": account.api_key[:-1] + "~"}) as socket:
        assert await wait_for_close_code(socket) == 4401


async def test_other_account_path_closes_with_4403(account: AccountClient, other_account: AccountClient) -> None:
    async with account.open_websocket(f"/ws/orders/{other_account.id}") as socket:
        assert await wait_for_close(socket) == Close(4403, "forbidden")


async def test_key_without_read_scope_closes_with_4403(account: AccountClient) -> None:
    writer = await account.post("/api/v1/keys", {"scopes": ["signals:write"]})
    async with account.with_key(writer["api_key"]).open_websocket() as socket:
        assert await wait_for_close_code(socket) == 4403


async def test_unmatchable_filter_closes_the_socket(account: AccountClient) -> None:
    async with account.open_websocket(types="nonsense") as socket:
        assert await wait_for_close_code(socket) == 1008


@pytest.mark.parametrize("origin", [None, "own", "https://evil.example"])
async def test_foreign_origin_cannot_use_the_session_cookie(
    app: RunningApp, account: AccountClient, origin: str | None
) -> None:
    key_id = account.api_key.split("_")[1]
    session_cookie = create_session_cookie(app.services, SESSION_COOKIE, key_id)
    headers = {"Cookie": f"{SESSION_COOKIE}={session_cookie.value}"}
    if origin is not None:
        headers["Origin"] = app.settings.web.base_url if origin == "own" else origin
    async with connect_websocket(account.http, "/ws/stream", headers=headers) as socket:
        if origin == "https://evil.example":
            assert await wait_for_close_code(socket) == 4403
        else:
            assert (await receive_json(socket))["type"] == "stream.ready"


@pytest.mark.parametrize("path", ["/ws/orders", "/ws/orders/", "/ws/orders/{id}", "/ws/orders/{id}/"])
async def test_legacy_order_frames_keep_their_fields(app: RunningApp, account: AccountClient, path: str) -> None:
    async with account.open_websocket(path.format(id=account.id)) as socket:
        hello = await receive_json(socket)
        assert list(hello) == ["type", "message"]
        assert hello["type"] == "connection_established"
        sent = await account.send_signal()
        await app.advance_order(sent["order_id"])
        await app.advance_order(sent["order_id"])
        frames = [await receive_json(socket) for _ in range(3)]
    assert [frame.pop("type") for frame in frames] == ["order.pending", "order.executed", "order.closed"]
    assert [frame.pop("status") for frame in frames] == ["pending", "executed", "closed"]
    assert frames == 3 * [
        {
            "order_id": sent["order_id"],
            "instrument": "EURUSD",
            "action": "BUY",
            "entry_price": "1.0860",
            "stop_loss": "1.0850",
            "take_profit": "1.0890",
            "user": account.id,
        }
    ]


@pytest.mark.parametrize("path", ["/ws/signals/invalid", "/ws/signals/invalid/"])
async def test_legacy_rejection_frames_carry_raw_text_and_reason(account: AccountClient, path: str) -> None:
    async with account.open_websocket(path) as socket:
        assert (await receive_json(socket))["type"] == "connection_established"
        await account.send_signal()
        await account.request("POST", "/webhook/receive-signal/", content=signal_texts.STOP_ON_WRONG_SIDE)
        frame = await receive_json(socket)
    assert frame["type"] == "signal.rejected"
    assert frame["raw_signal"] == signal_texts.STOP_ON_WRONG_SIDE
    assert frame["reason"] == "sl_wrong_side"
    assert frame["user"] == account.id


async def test_legacy_sockets_are_isolated_by_account(account: AccountClient, other_account: AccountClient) -> None:
    async with (
        account.open_websocket("/ws/orders/") as own_socket,
        other_account.open_websocket("/ws/orders/") as other_socket,
    ):
        await receive_json(own_socket)
        await receive_json(other_socket)
        sent = [await sender.send_signal() for sender in (account, other_account)]
        assert (await receive_json(own_socket))["order_id"] == sent[0]["order_id"]
        assert (await receive_json(other_socket))["order_id"] == sent[1]["order_id"]
