"""Each event of the account exactly once, in order, none missing, and none of another account."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from signalhub.domain.events import Event
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient, receive_json
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp


class Follower:
    """A client that disconnects at random, changes its transport, and keeps nothing but its cursor."""

    def __init__(self, account: AccountClient, seed: int) -> None:
        self.account, self.events = account, list[Any]()
        self._random = random.Random(seed)  # noqa: S311 - not for security
        self._cursor = "0"

    async def follow(self, until_seq: int) -> None:
        while not self.events or self.events[-1]["seq"] < until_seq:
            read_events = self._read_sse if self._random.random() < 0.5 else self._read_websocket
            await read_events(self._random.randint(1, 12), until_seq)

    async def _read_sse(self, max_events: int, until_seq: int) -> None:
        async with self.account.open_sse(last_event_id=self._cursor) as stream:
            self._cursor = (await stream.expect_ready()).id or ""
            while max_events and not (self.events and self.events[-1]["seq"] == until_seq):
                frame = await stream.next_event()
                self.events.append(frame.json)
                self._cursor, max_events = frame.id or "", max_events - 1

    async def _read_websocket(self, max_events: int, until_seq: int) -> None:
        async with self.account.open_websocket(after=self._cursor) as socket:
            ready = await receive_json(socket)
            while max_events and not (self.events and self.events[-1]["seq"] == until_seq):
                self.events.append(await receive_json(socket))
                self._cursor, max_events = f"{ready['epoch']}-{self.events[-1]['seq']}", max_events - 1


async def test_reconnecting_client_receives_each_event_once(account: AccountClient) -> None:
    followers = [Follower(account, seed) for seed in range(4)]
    following = [asyncio.create_task(follower.follow(61)) for follower in followers]
    for number in range(30):
        await account.send_signal(signal_texts.make_buy_text(number))
    async with asyncio.timeout(20):
        await asyncio.gather(*following)
    log = await account.list_events()
    assert [event["seq"] for event in log] == list(range(1, 62))
    for follower in followers:
        assert follower.events == log


async def test_accounts_receive_only_their_own_events(app: RunningApp) -> None:
    """Twelve accounts trade at the same time; each receives its complete log and no other event."""
    accounts = [await app.create_account() for _ in range(12)]
    rng = random.Random(7)  # noqa: S311 - not for security
    sends = [account for account in accounts for _ in range(rng.randint(4, 14))]
    rng.shuffle(sends)

    async def read_both_streams(account: AccountClient, until_seq: int) -> list[Any]:
        async with account.open_sse(after=0) as stream, account.open_websocket(after=0) as socket:
            await stream.expect_ready()
            await receive_json(socket)
            by_sse = [frame.json for frame in await stream.next_events(until_seq)]
            by_socket = [await receive_json(socket) for _ in range(until_seq)]
            assert by_sse == by_socket
            return by_sse

    readers = [asyncio.create_task(read_both_streams(account, 1 + 2 * sends.count(account))) for account in accounts]
    answers = await asyncio.gather(
        *(account.send_signal(signal_texts.make_buy_text(n)) for n, account in enumerate(sends))
    )
    order_ids: dict[str, set[str]] = {account.id: set() for account in accounts}
    for account, answer in zip(sends, answers, strict=True):
        order_ids[account.id].add(answer["order_id"])
    for account, events in zip(accounts, await asyncio.gather(*readers), strict=True):
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert {event["order_id"] for event in events if event["order_id"]} == order_ids[account.id]


def drop_every_third(events: list[Event]) -> list[Event]:
    return [event for event in events if event.seq % 3]


def duplicate(events: list[Event]) -> list[Event]:
    return [event for event in events for _ in range(2)]


def reorder(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event.seq // 4, -event.seq))


def keep_first(events: list[Event]) -> list[Event]:
    return events[:1]


def drop_all(events: list[Event]) -> list[Event]:
    return events[:0]


@pytest.mark.parametrize("distort", [drop_every_third, duplicate, reorder, keep_first, drop_all])
async def test_lost_duplicated_or_reordered_stream_entries_are_backfilled(
    app: RunningApp,
    account: AccountClient,
    distort: Any,  # noqa: ANN401 - a function over stream entries
) -> None:
    async with account.open_sse() as stream, account.open_websocket() as socket:
        await stream.expect_ready()
        await receive_json(socket)
        events = await app.append_events(account, 20)
        await app.publish_events(distort(events))
        assert [frame.data for frame in await stream.next_events(20)] == [event.body for event in events]
        assert [(await receive_json(socket))["seq"] for _ in range(20)] == [event.seq for event in events]
        await account.send_signal()
        assert [frame.json["seq"] for frame in await stream.next_events(2)] == [22, 23]


async def test_undecodable_stream_entries_are_skipped(app: RunningApp, account: AccountClient) -> None:
    redis, stream_key = app.services.redis, (await app.services.redis_keys.load()).events
    async with account.open_sse() as stream:
        await stream.expect_ready()
        await redis.xadd(stream_key, {"what": "ever"})
        await redis.xadd(stream_key, {"a": account.id, "s": "not a number", "t": "x", "b": "{}"})
        await redis.xadd(stream_key, {"a": b"\xff\xfe", "s": "1"})
        sent = await account.send_signal()
        assert [frame.json["seq"] for frame in await stream.next_events(2)] == [sent["seq"] - 1, sent["seq"]]
        # Within two seconds only the stream reader delivers; the comparison of heads would take longer.
        async with asyncio.timeout(1.0):
            for _ in range(5):
                await account.send_signal()
                await stream.next_events(2)


async def test_flushed_redis_loses_no_events(app: RunningApp, account: AccountClient) -> None:
    async with account.open_sse(after=0) as stream:
        await stream.expect_ready()
        for number in range(3):
            await account.send_signal(signal_texts.make_buy_text(number))
            await app.services.redis.flushdb()
            await account.send_signal(signal_texts.make_buy_text(number))
        frames = await stream.next_events(13)
    assert [frame.json["seq"] for frame in frames] == list(range(1, 14))


async def test_slow_reader_receives_every_event(app: RunningApp, account: AccountClient) -> None:
    """It stops reading for 4,000 events: more than the buffers on the way and the ring buffer hold."""
    async with _unread_stream(account) as reader:
        events = []
        for _ in range(4):
            events += await app.append_events(account, 1000)
        await app.publish_events(events[-1:])
        async with account.open_sse(after=3990) as other:
            await other.expect_ready()
            assert (await other.next_event()).json["seq"] == 3991
        seqs: list[int] = []
        async with asyncio.timeout(20):
            while not seqs or seqs[-1] < 4001:
                line = await reader.readline()
                if line.startswith(b"id: "):
                    seqs.append(int(line.rpartition(b"-")[2]))
    assert seqs == [1, *range(2, 4002)]


@asynccontextmanager
async def _unread_stream(account: AccountClient) -> AsyncIterator[asyncio.StreamReader]:
    url = account.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port, limit=4096)
    writer.write(f"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {account.api_key}\r\n\r\n".encode())
    await writer.drain()
    await asyncio.sleep(0.2)
    try:
        yield reader
    finally:
        writer.close()


async def test_closed_stream_is_unregistered(app: RunningApp, account: AccountClient) -> None:
    seqs = [(await account.send_signal(signal_texts.make_buy_text(n)))["seq"] for n in range(3)]
    async with account.open_sse(after=0) as stream:
        await stream.expect_ready()
        assert [frame.json["seq"] for frame in await stream.next_events(7)] == list(range(1, seqs[-1] + 1))
    assert await wait_until(lambda: _has_no_open_streams(app))


async def _has_no_open_streams(app: RunningApp) -> bool:
    """Return whether the process has no open SSE stream."""
    text = (await app.http.get("/metrics")).text
    counts = [line for line in text.splitlines() if line.startswith('signalhub_stream_subscribers{transport="sse"}')]
    return counts == ['signalhub_stream_subscribers{transport="sse"} 0.0']
