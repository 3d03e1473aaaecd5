"""The log over WebSocket, on the canonical path and on those of the older clients."""

import asyncio
from typing import Any

import msgspec
import pytest

from signalhub.web.callers import SESSION_COOKIE, CookieSession, encrypt_session
from tests.kit import texts
from tests.kit.hub import RunningApp
from tests.kit.trader import AccountClient, connect_websocket, receive_json, wait_for_close_code


async def test_the_first_frame_says_where_the_stream_begins(trader: AccountClient) -> None:
    page = await trader.get("/api/v1/events")
    async with trader.open_websocket() as socket:
        assert await receive_json(socket) == {"type": "stream.ready", "epoch": page["epoch"], "seq": 1, "head": 1}


async def test_one_event_is_one_frame(trader: AccountClient) -> None:
    async with trader.open_websocket(after=0) as socket:
        await receive_json(socket)
        await trader.send_signal()
        assert [(await receive_json(socket))["seq"] for _ in range(3)] == [1, 2, 3]


async def test_a_batch_is_an_array_of_one_or_more(hub: RunningApp, trader: AccountClient) -> None:
    await hub.append_events(trader, 700)
    found: list[Any] = []
    async with trader.open_websocket(after=0, batch=1) as socket:
        await receive_json(socket)
        while len(found) < 701:
            batch = await receive_json(socket)
            assert isinstance(batch, list)
            assert batch
            found += batch
    assert [event["seq"] for event in found] == list(range(1, 702))


async def test_a_filter_shows_its_types_only(trader: AccountClient) -> None:
    async with trader.open_websocket(types="order.*") as socket:
        await receive_json(socket)
        await trader.send_signal()
        assert (await receive_json(socket))["type"] == "order.pending"


async def test_a_cursor_that_cannot_be_followed_is_told_so(trader: AccountClient) -> None:
    async with trader.open_websocket(after="zzzz-1") as socket:
        assert (await receive_json(socket))["type"] == "stream.ready"
        reset = await receive_json(socket)
        assert (reset["type"], reset["reason"], reset["seq"]) == ("stream.reset", "epoch", 1)


async def test_what_retention_has_pruned_is_named_once(hub: RunningApp, trader: AccountClient) -> None:
    await hub.append_events(trader, 4)
    await hub.execute_sql("DELETE FROM events WHERE account_id = CAST(:id AS uuid) AND seq <= 3", id=trader.id)
    async with trader.open_websocket(after=0) as socket:
        await receive_json(socket)
        gap = await receive_json(socket)
        assert (gap["type"], gap["first"], gap["last"]) == ("stream.gap", 1, 3)
        assert (await receive_json(socket))["seq"] == 4


async def test_a_heartbeat_tells_how_far_a_filtered_stream_has_come(trader: AccountClient) -> None:
    async with trader.open_websocket(types="order.executed") as socket:
        ready = await receive_json(socket)
        await trader.send_signal()
        async with asyncio.timeout(5):
            while (beat := msgspec.json.decode(await socket.recv()))["seq"] < 3:
                assert beat["type"] == "stream.heartbeat"
    assert beat == {"type": "stream.heartbeat", "epoch": ready["epoch"], "seq": 3}


async def test_who_says_too_much_is_closed(trader: AccountClient) -> None:
    async with trader.open_websocket() as socket:
        await receive_json(socket)
        await socket.send("x" * 5000)
        assert await wait_for_close_code(socket) == 1009


async def test_a_ping_is_answered(trader: AccountClient) -> None:
    async with trader.open_websocket() as socket:
        await receive_json(socket)
        await socket.send('{"type":"ping"}')
        assert await receive_json(socket) == {"type": "pong"}


@pytest.mark.parametrize("noise", ["", "nonsense", "[1]", "null", '{"type": 5}', "{" * 500, b"\x00\xff"])
async def test_noise_from_the_client_is_ignored(trader: AccountClient, noise: str | bytes) -> None:
    async with trader.open_websocket() as socket:
        await receive_json(socket)
        await socket.send(noise)
        await socket.send('{"type":"ping"}')
        assert await receive_json(socket) == {"type": "pong"}
        await trader.send_signal()
        assert (await receive_json(socket))["seq"] == 2


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
async def test_a_key_in_a_header_opens_the_socket(trader: AccountClient, header: str) -> None:
    value = trader.api_key if header == "X-API-Key" else f"Bearer {trader.api_key}"
    async with connect_websocket(trader.http, "/ws/stream", headers={header: value}) as socket:
        assert (await receive_json(socket))["type"] == "stream.ready"


async def test_a_key_in_the_first_message_opens_the_socket(trader: AccountClient) -> None:
    async with connect_websocket(trader.http, "/ws/stream") as socket:
        await socket.send(msgspec.json.encode({"type": "authenticate", "api_key": trader.api_key}), text=True)
        assert (await receive_json(socket))["type"] == "stream.ready"


@pytest.mark.parametrize(
    "first", ["hello", '{"type":"authenticate"}', '{"type":"authenticate","api_key":"shk_x"}', '{"type":"ping"}', b"\0"]
)
async def test_a_first_message_that_is_no_credential_closes_with_4401(
    trader: AccountClient, first: str | bytes
) -> None:
    async with connect_websocket(trader.http, "/ws/stream") as socket:
        await socket.send(first)
        assert await wait_for_close_code(socket) == 4401


async def test_a_socket_that_says_nothing_is_closed_after_five_seconds(trader: AccountClient) -> None:
    async with (
        connect_websocket(trader.http, "/ws/stream") as one,
        connect_websocket(trader.http, "/ws/orders/") as other,
    ):
        assert set(await asyncio.gather(wait_for_close_code(one), wait_for_close_code(other))) == {4401}


@pytest.mark.parametrize("path", ["/ws/stream", "/ws/orders/", "/ws/signals/invalid/"])
async def test_a_wrong_key_closes_with_4401(trader: AccountClient, path: str) -> None:
    async with connect_websocket(trader.http, path, headers={"X-API-Key": trader.api_key[:-1] + "~"}) as socket:
        assert await wait_for_close_code(socket) == 4401


async def test_another_account_s_path_closes_with_4403(trader: AccountClient, stranger: AccountClient) -> None:
    async with trader.open_websocket(f"/ws/orders/{stranger.id}") as socket:
        assert await wait_for_close_code(socket) == 4403


async def test_a_key_that_may_not_read_closes_with_4403(trader: AccountClient) -> None:
    writer = await trader.post("/api/v1/keys", {"scopes": ["signals:write"]})
    async with trader.with_key(writer["api_key"]).open_websocket() as socket:
        assert await wait_for_close_code(socket) == 4403


async def test_a_filter_that_can_match_nothing_closes(trader: AccountClient) -> None:
    async with trader.open_websocket(types="nonsense") as socket:
        assert await wait_for_close_code(socket) == 1008


@pytest.mark.parametrize("origin", [None, "own", "https://evil.example"])
async def test_a_page_of_another_origin_cannot_ride_on_the_session(
    hub: RunningApp, trader: AccountClient, origin: str | None
) -> None:
    key_id = trader.api_key.split("_")[1]
    headers = {
        "Cookie": f"{SESSION_COOKIE}={encrypt_session(hub.services, SESSION_COOKIE, CookieSession(key_id, 'csrf'))}"
    }
    if origin is not None:
        headers["Origin"] = hub.settings.base_url if origin == "own" else origin
    async with connect_websocket(trader.http, "/ws/stream", headers=headers) as socket:
        if origin == "https://evil.example":
            assert await wait_for_close_code(socket) == 4403
        else:
            assert (await receive_json(socket))["type"] == "stream.ready"


@pytest.mark.parametrize("path", ["/ws/orders", "/ws/orders/", "/ws/orders/{id}", "/ws/orders/{id}/"])
async def test_the_older_order_frames_keep_their_shape(hub: RunningApp, trader: AccountClient, path: str) -> None:
    async with trader.open_websocket(path.format(id=trader.id)) as socket:
        hello = await receive_json(socket)
        assert list(hello) == ["type", "message"]
        assert hello["type"] == "connection_established"
        sent = await trader.send_signal()
        await hub.advance_order(sent["order_id"])
        await hub.advance_order(sent["order_id"])
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
            "user": trader.id,
        }
    ]


@pytest.mark.parametrize("path", ["/ws/signals/invalid", "/ws/signals/invalid/"])
async def test_the_older_refusal_frames_carry_raw_text_and_reason(trader: AccountClient, path: str) -> None:
    async with trader.open_websocket(path) as socket:
        assert (await receive_json(socket))["type"] == "connection_established"
        await trader.send_signal()
        await trader.request("POST", "/webhook/receive-signal/", content=texts.STOP_ON_WRONG_SIDE)
        frame = await receive_json(socket)
    assert frame["type"] == "signal.rejected"
    assert frame["raw_signal"] == texts.STOP_ON_WRONG_SIDE
    assert frame["reason"] == "sl_wrong_side"
    assert frame["user"] == trader.id


async def test_older_sockets_of_two_accounts_do_not_mix(trader: AccountClient, stranger: AccountClient) -> None:
    async with trader.open_websocket("/ws/orders/") as mine, stranger.open_websocket("/ws/orders/") as theirs:
        await receive_json(mine)
        await receive_json(theirs)
        sent = [await who.send_signal() for who in (trader, stranger)]
        assert (await receive_json(mine))["order_id"] == sent[0]["order_id"]
        assert (await receive_json(theirs))["order_id"] == sent[1]["order_id"]
