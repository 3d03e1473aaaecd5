"""The event log as Server-Sent Events: the start of a stream, resuming, resets, gaps, heartbeats and limits."""

import asyncio

import httpx
import httpx_sse
import msgspec
import pytest

from signalhub.client.sse import Parser
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient, receive_json
from tests.kit.running_app import RunningApp
from tests.kit.sse_stream import SseFrame, open_sse


def _epoch(cursor: str | None) -> str:
    return (cursor or "").partition("-")[0]


async def test_first_frame_is_ready(account: AccountClient) -> None:
    await account.send_signal()
    async with account.open_sse() as stream:
        ready = await stream.next_frame()
        page = await account.get("/api/v1/events")
    assert ready is not None
    assert ready.event == "stream.ready"
    assert 800 <= (ready.retry or 0) <= 2200
    assert ready.id == f"{page['epoch']}-3"
    position = {"epoch": page["epoch"], "seq": 3, "head": 3}
    assert ready.json == {"type": "stream.ready", **position, "heartbeat_s": 0.5}


async def test_response_headers_forbid_caching_and_buffering(account: AccountClient) -> None:
    async with account.open_sse() as stream:
        headers = stream.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"


async def test_stream_without_cursor_starts_at_head(account: AccountClient) -> None:
    await account.send_signal()
    async with account.open_sse() as stream:
        await stream.expect_ready()
        sent = await account.send_signal()
        frames = await stream.next_events(2)
    assert [frame.event for frame in frames] == ["signal.accepted", "order.pending"]
    assert [frame.json["seq"] for frame in frames] == [sent["seq"] - 1, sent["seq"]]
    assert [frame.id for frame in frames] == [f"{_epoch(frames[0].id)}-{frame.json['seq']}" for frame in frames]


async def test_after_zero_streams_the_whole_log(account: AccountClient) -> None:
    await account.send_signal()
    async with account.open_sse(after=0) as stream:
        assert (await stream.expect_ready()).json["seq"] == 0
        assert [frame.json["seq"] for frame in await stream.next_events(3)] == [1, 2, 3]


@pytest.mark.parametrize("form", ["header", "query", "bare query"])
async def test_stream_resumes_after_last_event_id(account: AccountClient, form: str) -> None:
    async with account.open_sse() as stream:
        await stream.expect_ready()
        await account.send_signal()
        first = await stream.next_event()
    assert first.id is not None
    parameters = {
        "header": {"last_event_id": first.id},
        "query": {"after": first.id},
        "bare query": {"after": str(first.json["seq"])},
    }[form]
    async with account.open_sse(**parameters) as stream:
        assert (await stream.expect_ready()).id == first.id
        second = await stream.next_event()
        assert (second.event, second.json["seq"]) == ("order.pending", first.json["seq"] + 1)


async def test_last_event_id_header_overrides_after(account: AccountClient) -> None:
    await account.send_signal()
    async with account.open_sse(last_event_id="2", after=0) as stream:
        await stream.expect_ready()
        assert (await stream.next_event()).json["seq"] == 3


async def test_client_resumes_from_the_ready_frame(account: AccountClient) -> None:
    async with account.open_sse() as stream:
        ready = await stream.expect_ready()
    await account.send_signal()
    async with account.open_sse(last_event_id=ready.id) as stream:
        await stream.expect_ready()
        assert [frame.json["seq"] for frame in await stream.next_events(2)] == [2, 3]


async def test_page_sse_and_websocket_return_identical_bytes(app: RunningApp, account: AccountClient) -> None:
    async with account.open_sse(after=0) as stream, account.open_websocket(after=0) as socket:
        await stream.expect_ready()
        await socket.recv()
        sent = await account.send_signal()
        await app.advance_order(sent["order_id"])
        over_sse = [frame.data for frame in await stream.next_events(4)]
        over_websocket = [await socket.recv(decode=False) for _ in range(4)]
    page = (await account.request("GET", "/api/v1/events")).content
    stored = [str(row[0]).encode() for row in await app.execute_sql(
        "SELECT body FROM events WHERE account_id = CAST(:id AS uuid) ORDER BY seq", id=account.id
    )]  # fmt: skip
    assert over_sse == over_websocket == stored
    assert page.startswith(b'{"items":[' + b",".join(over_sse) + b'],"epoch":')


async def test_filter_selects_event_types(account: AccountClient) -> None:
    async with account.open_sse(types="order.*,signal.rejected") as stream:
        await stream.expect_ready()
        await account.send_signal()
        await account.request("POST", "/api/v1/signals", content=signal_texts.MISSING_STOP)
        assert [frame.event for frame in await stream.next_events(2)] == ["order.pending", "signal.rejected"]


async def test_filtered_stream_resumes_from_heartbeat_id(account: AccountClient) -> None:
    """Hidden events move the cursor too: the id of the heartbeat shows it."""
    async with account.open_sse(types="order.executed") as stream:
        ready = await stream.expect_ready()
        await account.send_signal()
        frame = await stream.next_frame()
        while frame is not None and frame.id in {None, ready.id}:
            frame = await stream.next_frame()
    assert frame is not None
    assert frame.id == f"{_epoch(ready.id)}-3"
    assert frame.event == "stream.heartbeat"
    assert frame.json == {"type": "stream.heartbeat", "epoch": _epoch(ready.id), "seq": 3}
    async with account.open_sse(last_event_id=frame.id) as stream:
        await stream.expect_ready()
        await account.send_signal()
        assert (await stream.next_event()).json["seq"] == 4


@pytest.mark.parametrize("types", ["order.", "nonsense", "*.nothing", "order.closed,typo", ",", " "])
async def test_unmatchable_filter_is_rejected(account: AccountClient, types: str) -> None:
    response = await account.request("GET", "/api/v1/stream", params={"types": types})
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


RESETS = {
    "malformed": ["abc!", "-1", "1.5", "x" * 200, "1-", "a-b", "00000000-1e3", "٣"],
    "epoch": ["zzzzzzzz-1", "0-1"],
    "future": ["99", "999999999999999999"],
}


@pytest.mark.parametrize(
    ("reason", "cursor"), [(reason, cursor) for reason, cursors in RESETS.items() for cursor in cursors]
)
async def test_invalid_cursor_is_reset(account: AccountClient, reason: str, cursor: str) -> None:
    async with account.open_sse(after=cursor) as stream:
        ready = await stream.expect_ready()
        reset = await stream.next_event()
        assert reset.event == "stream.reset"
        assert reset.id == ready.id == f"{reset.json['epoch']}-1"
        assert (reset.json["reason"], reset.json["seq"], reset.json["head"]) == (reason, 1, 1)
        assert reset.json["snapshot"] == "/api/v1/orders"
        await account.send_signal()
        assert (await stream.next_event()).json["seq"] == 2


@pytest.mark.parametrize(("after", "first"), [(0, 1), (2, 3)])
async def test_pruned_events_are_reported_as_one_gap(
    app: RunningApp, account: AccountClient, after: int, first: int
) -> None:
    await app.append_events(account, 9)
    await app.execute_sql("DELETE FROM events WHERE account_id = CAST(:id AS uuid) AND seq <= 6", id=account.id)
    async with account.open_sse(after=after) as stream:
        await stream.expect_ready()
        gap, *rest = await stream.next_events(5)
        assert gap.event == "stream.gap"
        assert (gap.json["first"], gap.json["last"]) == (first, 6)
        assert gap.id == f"{gap.json['epoch']}-6"
        assert [frame.json["seq"] for frame in rest] == [7, 8, 9, 10]
        await account.send_signal()
        assert [frame.json["seq"] for frame in await stream.next_events(2)] == [11, 12]


async def test_fully_pruned_log_is_one_gap(app: RunningApp, account: AccountClient) -> None:
    await app.append_events(account, 9)
    await app.execute_sql("DELETE FROM events WHERE account_id = CAST(:id AS uuid)", id=account.id)
    async with account.open_sse(after=4) as stream, account.open_websocket(after=4) as socket:
        await stream.expect_ready()
        await receive_json(socket)
        gap = await stream.next_event()
        assert (gap.event, gap.json["first"], gap.json["last"]) == ("stream.gap", 5, 10)
        assert await receive_json(socket) == gap.json
        await account.send_signal()
        assert [frame.json["seq"] for frame in await stream.next_events(2)] == [11, 12]


async def test_idle_stream_sends_heartbeats(account: AccountClient) -> None:
    async with account.open_sse() as stream:
        ready = await stream.expect_ready()
        beats = [await stream.next_frame() for _ in range(2)]
    data = {"type": "stream.heartbeat", "epoch": _epoch(ready.id), "seq": 1}
    expected = SseFrame(id=None, event="stream.heartbeat", data=msgspec.json.encode(data), comment=None, retry=None)
    assert beats == [expected, expected]


async def test_httpx_sse_reads_the_stream(account: AccountClient) -> None:
    await account.send_signal()
    async with httpx_sse.aconnect_sse(
        account.http, "GET", "/api/v1/stream", params={"after": 0}, headers=account.headers
    ) as source:
        frames = []
        async for event in source.aiter_sse():
            frames.append((event.event, event.id.partition("-")[2], event.json().get("seq")))
            if len(frames) == 4:
                break
    assert frames == [
        ("stream.ready", "0", 0),
        ("account.created", "1", 1),
        ("signal.accepted", "2", 2),
        ("order.pending", "3", 3),
    ]


async def _read_raw_stream(account: AccountClient, last: bytes, **params: str) -> bytes:
    """Return the bytes of a stream up to the first chunk with `last`, inclusive."""
    data = b""
    async with account.http.stream("GET", "/api/v1/stream", params=params, headers=account.headers) as response:
        async for chunk in response.aiter_raw():
            data += chunk
            if last in data:
                return data
    raise AssertionError(data)


async def test_both_sse_parsers_agree(app: RunningApp, account: AccountClient) -> None:
    await app.append_events(account, 9, type_="key.created")
    await app.execute_sql("DELETE FROM events WHERE account_id = :id AND seq <= 4", id=account.id)
    raws = [
        await _read_raw_stream(account, b'"seq":10,', after="4"),
        await _read_raw_stream(account, b"stream.reset", after="nonsense"),
        await _read_raw_stream(account, b'"seq":10,', after="0"),
        await _read_raw_stream(account, b'"seq":10}\nid: ', after="4", types="order.*"),  # a heartbeat
    ]
    for raw, count in zip(raws, (1 + 6, 2, 2 + 6, 2), strict=True):
        parser = Parser()
        messages = [(message.type, message.last_event_id, message.data) for message in parser.feed(raw)]
        source = httpx_sse.EventSource(httpx.Response(200, headers={"content-type": "text/event-stream"}, content=raw))
        assert messages == [(event.event, event.id, event.data) for event in source.iter_sse()]
        assert len(messages) == count
        assert 800 <= (parser.retry_ms or 0) <= 2200
    assert parser.last_event_id.endswith("-10")


async def test_id_is_the_last_line_of_every_frame(app: RunningApp, account: AccountClient) -> None:
    """A block without data would be an empty message to some clients."""
    await app.append_events(account, 9)
    await app.execute_sql("DELETE FROM events WHERE account_id = :id AND seq <= 4", id=account.id)
    raw = await _read_raw_stream(account, b"stream.heartbeat", after="0")
    raw += await _read_raw_stream(account, b"stream.heartbeat", after="nonsense")
    raw += await _read_raw_stream(account, b'"seq":10}\nid: ', after="4", types="order.*")
    names = [[line.partition(b":")[0] for line in block.split(b"\n")] for block in raw.split(b"\n\n")[:-1]]
    opening, frame, heartbeat = [b"retry", b"event", b"data", b"id"], [b"event", b"data", b"id"], [b"event", b"data"]
    assert names == [opening, *[frame] * 7, heartbeat, opening, frame, heartbeat, opening, frame]


def _read_lines_as_they_come(raw: bytes) -> tuple[int, int]:
    """Return the last event received and the one to resume after, for a client that takes an id at its line."""
    received, resumed, data = 0, 0, b""
    *lines, _incomplete = raw.split(b"\n")
    for line in lines:
        name, _, value = line.partition(b": ")
        if name == b"data":
            data = value
        elif name == b"id":
            resumed = int(value.partition(b"-")[2])
        elif not line:
            received = msgspec.json.decode(data)["seq"]
    return received, resumed


async def test_cut_inside_a_frame_loses_nothing_for_clients_that_take_the_id_at_its_line(
    app: RunningApp, account: AccountClient
) -> None:
    await app.append_events(account, 3)
    raw = await _read_raw_stream(account, b'"seq":4,', after="0")
    # Between the end of the last line and the empty line that dispatches the event there is one byte, in any order.
    cuts = [cut for cut in range(len(raw) + 1) if raw[cut - 1 : cut + 1] != b"\n\n"]
    assert len(cuts) == len(raw) - 4
    positions = [_read_lines_as_they_come(raw[:cut]) for cut in cuts]
    assert [resumed for received, resumed in positions if resumed != received] == []
    assert positions[-1] == (4, 4)


async def test_stream_requires_read_scope(account: AccountClient) -> None:
    anonymous = await account.http.get("/api/v1/stream")
    writer = await account.post("/api/v1/keys", {"scopes": ["signals:write"]})
    forbidden = await account.with_key(writer["api_key"]).request("GET", "/api/v1/stream")
    assert (anonymous.status_code, forbidden.status_code) == (401, 403)


async def test_concurrent_opens_respect_per_account_stream_limit(app: RunningApp, account: AccountClient) -> None:
    max_streams = app.settings.streams.max_per_account

    async def open_stream() -> int:
        async with account.http.stream("GET", "/api/v1/stream", headers=account.headers) as response:
            await asyncio.wait_for(release.wait(), 15) if response.is_success else answered.release()
            return response.status_code

    release, answered = asyncio.Event(), asyncio.Semaphore(0)
    openings = [asyncio.create_task(open_stream()) for _ in range(max_streams + 20)]
    for _ in range(20):
        await answered.acquire()
    await asyncio.sleep(0.3)
    release.set()
    assert sorted(await asyncio.gather(*openings)) == [200] * max_streams + [429] * 20


async def test_open_streams_per_account_are_limited(app: RunningApp) -> None:
    account = await app.create_account()
    max_streams = app.settings.streams.max_per_account
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        done = asyncio.Event()
        opened = asyncio.Semaphore(0)

        async def hold() -> None:
            async with open_sse(account.http, headers=account.headers) as stream:
                await stream.expect_ready()
                opened.release()
                await done.wait()

        for _ in range(max_streams):
            group.create_task(hold())
        for _ in range(max_streams):
            await opened.acquire()
        response = await account.request("GET", "/api/v1/stream")
        done.set()
    assert (response.status_code, response.json()["code"]) == (429, "too_many_streams")
    assert response.headers["Retry-After"]
