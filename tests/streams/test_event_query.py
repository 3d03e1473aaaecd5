"""The query of a stream and of a page: where to resume, which events to show, and what is refused."""

import asyncio
from typing import Any

import pytest
from websockets.frames import Close

from signalhub.domain.events import EventCriteria
from signalhub.streams.account_channel import Channel, encode_frame
from signalhub.streams.event_filter import create_filter
from signalhub.streams.sse_frames import encode_events
from tests.kit.account_client import AccountClient, receive_json, wait_for_close
from tests.kit.running_app import RunningApp
from tests.kit.sse_stream import open_sse

GOLD = "SELL GOLD @ 2400\nSL 2410\nTP 2380"
ALIASES = ["lastEventId", "last_event_id", "lastEventID", "evs_last_event_id"]


@pytest.mark.parametrize("alias", ALIASES)
async def test_polyfill_parameter_overrides_after(account: AccountClient, alias: str) -> None:
    """A polyfill adds it to the first URL, and sends no header."""
    await account.send_signal()
    query: dict[str, Any] = {"after": 0, alias: 2, "evs_buffer_size_limit": 262144, "evs_preamble": 2056}
    async with (
        open_sse(account.http, headers=account.headers, **query) as stream,
        account.open_websocket(**query) as socket,
    ):
        assert (await stream.expect_ready()).json["seq"] == (await receive_json(socket))["seq"] == 2
        assert (await stream.next_event()).json["seq"] == (await receive_json(socket))["seq"] == 3


async def test_last_event_id_header_overrides_every_parameter(account: AccountClient) -> None:
    """A browser that reconnects repeats its first URL: what is in there is older."""
    await account.send_signal()
    params = {"after": "0", "lastEventId": "1"}
    async with account.http.stream(
        "GET", "/api/v1/stream", params=params, headers=account.headers | {"Last-Event-ID": "2"}
    ) as response:
        assert b'"seq":2,' in await anext(response.aiter_raw())


@pytest.mark.parametrize("query", [{"symbl": "EURUSD"}, {"after": "0", "filter": ""}, {"batch": "1"}])
async def test_unknown_parameter_of_a_stream_is_refused(account: AccountClient, query: dict[str, str]) -> None:
    response = await account.request("GET", "/api/v1/stream", params=query)
    assert (response.status_code, response.json()["code"]) == (422, "unknown_parameter")
    assert repr(list(query)[-1]) in response.json()["detail"]
    assert "symbol" in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "query"), [("/ws/stream", {"symbl": "EURUSD"}), ("/ws/orders/", {"types": "order.closed"})]
)
async def test_unknown_parameter_of_a_websocket_is_refused(
    account: AccountClient, path: str, query: dict[str, str]
) -> None:
    async with account.open_websocket(path, **query) as socket:
        assert await wait_for_close(socket) == Close(1008, "unknown_parameter")


async def test_unknown_parameter_of_a_page_is_refused(account: AccountClient) -> None:
    response = await account.request("GET", "/api/v1/events", params={"type": "order.*"})
    assert (response.status_code, response.json()["code"]) == (422, "unknown_parameter")


async def test_credential_is_checked_before_parameters(account: AccountClient) -> None:
    assert (await account.http.get("/api/v1/stream", params={"symbl": "EURUSD"})).status_code == 401


async def _read_everywhere(account: AccountClient, **query: Any) -> list[int]:  # noqa: ANN401 - query values
    """Return the numbers of all events that pass the filters, which are the same over all transports."""
    seqs: list[list[int]] = []
    until = (await account.get("/api/v1/events"))["head"]
    async with account.open_sse(after=0, **query) as stream:
        await stream.expect_ready()
        received, last = list[int](), 0
        while last < until:
            frame = await stream.next_frame()
            assert frame is not None
            last = int((frame.id or f"-{last}").partition("-")[2])
            received += [frame.json["seq"]] if frame.event != "stream.heartbeat" else []
        seqs.append(received)
    async with account.open_websocket(after=0, batch=1, **query) as socket:
        await receive_json(socket)
        received = []
        while not received or received[-1] < seqs[0][-1]:
            received += [event["seq"] for event in await receive_json(socket)]
        seqs.append(received)
    seqs.append([event["seq"] for event in await account.list_events(**query)])
    assert seqs[0] == seqs[1] == seqs[2]
    return seqs[0]


async def test_events_are_filtered_by_symbol_source_and_order(app: RunningApp, account: AccountClient) -> None:
    hook = await account.post("/api/v1/hooks", {"label": "gold, alerts"})  # 2
    euro = await account.send_signal()  # 3, 4
    gold = await account.send_signal(GOLD, path=hook["path"])  # 5, 6
    await app.advance_order(euro["order_id"])  # 7
    await app.advance_order(gold["order_id"])  # 8
    await account.request("POST", "/api/v1/signals", content="BUY EURUSD")  # 9
    queries: list[tuple[dict[str, str], list[int]]] = [
        ({"symbol": "gold"}, [5, 6, 8]),
        ({"symbol": "XAUUSD,EURUSD", "types": "order.executed"}, [7, 8]),
        ({"source": hook["id"]}, [5, 6, 8]),
        ({"source": "gold, alerts", "types": "order.*"}, [6, 8]),
        ({"source": account.api_key.split("_")[1]}, [3, 4, 7, 9]),
        ({"order_id": euro["order_id"]}, [3, 4, 7]),
        ({"order_id": euro["order_id"].upper(), "symbol": "eur/usd"}, [3, 4, 7]),
    ]
    received = await asyncio.gather(*(_read_everywhere(account, **query) for query, _ in queries))
    assert received == [seqs for _, seqs in queries]


async def test_source_of_an_older_order_is_loaded_for_a_live_stream(app: RunningApp, account: AccountClient) -> None:
    """The event that names the source was before the stream began."""
    sent = await account.send_signal()
    key_id = account.api_key.split("_")[1]
    other = await account.post("/api/v1/keys", {"label": "other"})
    async with (
        account.open_sse(source=key_id) as stream,
        account.open_websocket(source=key_id) as socket,
        account.open_sse(source=other["id"]) as other_stream,
    ):
        for opened in (stream, other_stream):
            await opened.expect_ready()
        await receive_json(socket)
        await app.advance_order(sent["order_id"])
        assert (await stream.next_event()).event == "order.executed"
        assert (await receive_json(socket))["type"] == "order.executed"
        await account.with_key(other["api_key"]).send_signal()
        assert [frame.event for frame in await other_stream.next_events(2)] == ["signal.accepted", "order.pending"]


@pytest.mark.parametrize("query", [{"symbol": "GOLD"}, {"source": "other"}])
async def test_filtered_stream_resumes_after_hidden_events(account: AccountClient, query: dict[str, str]) -> None:
    other = account.with_key((await account.post("/api/v1/keys", {"label": "other"}))["api_key"])
    async with account.open_sse(**query) as stream:
        ready = await stream.expect_ready()
        await account.send_signal()
        frame: Any = ready
        while frame.id in {None, ready.id}:
            frame = await stream.next_frame()
    assert (frame.event, frame.json["seq"]) == ("stream.heartbeat", 4)
    await other.send_signal(GOLD)
    async with account.open_sse(last_event_id=frame.id, **query) as stream:
        assert (await stream.expect_ready()).json["seq"] == 4
        assert [event.json["seq"] for event in await stream.next_events(2)] == [5, 6]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [({"symbol": "GOLD,??"}, 422, "unknown_symbol"),
     ({"symbol": ","}, 422, "unknown_symbol"),
     ({"source": "nobody"}, 422, "invalid_request"),
     ({"source": "\0"}, 422, "invalid_request"),
     ({"order_id": "1"}, 404, "not_found"),
     ({"order_id": "00000000-0000-7000-8000-000000000000"}, 404, "not_found"),
     ({"symbol": ",".join(["GOLD"] * 51)}, 422, "invalid_request")],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/v1/stream", "/api/v1/events"])
async def test_filter_that_no_event_can_pass_is_refused(
    account: AccountClient, path: str, query: dict[str, str], status: int, code: str
) -> None:
    response = await account.request("GET", path, params=query)
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_order_of_another_account_is_not_found(account: AccountClient, other_account: AccountClient) -> None:
    order_id = (await other_account.send_signal())["order_id"]
    async with account.open_websocket(order_id=order_id) as socket:
        assert await wait_for_close(socket) == Close(1008, "not_found")


async def test_equal_filters_share_encoded_batches() -> None:
    channel = Channel("a", "e")
    channel.start(0)
    body = b'{"order_id":"o","signal_id":"s","data":{"symbol":"%b"}}'
    for seq, symbol in enumerate([b"EURUSD", b"XAUUSD"], 1):
        channel.push(encode_frame("e", seq, "order.executed", body % symbol))
    batches = [
        channel.encode_after(0, create_filter(EventCriteria(symbols=frozenset({"XAUUSD"}))), encode_events)
        for _ in range(2)
    ]
    assert batches[0] is batches[1]
    assert batches[0] is not None
    assert [message.asgi_message["body"] for message in batches[0].messages] == [
        b"event: order.executed\ndata: %b\nid: e-2\n\n" % (body % b"XAUUSD")
    ]
