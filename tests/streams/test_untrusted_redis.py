"""What anything but this installation writes to Redis is not delivered and loses nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pytest
from redis.typing import EncodableT

from signalhub.domain.events import Event, Head, NewEvent, append_event
from signalhub.streams.redis_state import RedisKeyLoader
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.redis_keys import read_redis_keys
from tests.kit.running_app import RunningApp
from tests.kit.servers import Servers
from tests.kit.sse_stream import SseStream

_NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def follow_exactly(app: RunningApp, account: AccountClient) -> AsyncIterator[SseStream]:
    """Yield a stream, and expect it to bring the events of two signals afterwards, live, and nothing else."""
    async with account.open_sse(after=0) as stream:
        await stream.expect_ready()
        await stream.next_events(1)
        yield stream
        before = await _count_backfills(app)
        await account.send_signal()
        await account.send_signal()
        bodies = [frame.data for frame in await stream.next_events(4)]
        assert [msgspec.json.decode(body)["seq"] for body in bodies] == [2, 3, 4, 5]
        assert await _count_backfills(app) == before
    assert [msgspec.json.decode(body) for body in bodies] == await account.list_events(1)


async def _count_backfills(app: RunningApp) -> str:
    metrics = (await app.http.get("/metrics")).text
    return next(line for line in metrics.splitlines() if line.startswith("signalhub_stream_heals_total"))


async def _copy_last_entry(app: RunningApp, **changes: Any) -> None:  # noqa: ANN401 - field values
    stream_key = (await app.services.redis_keys.load()).events
    entries: Any = await app.services.redis.xrevrange(stream_key, count=1)
    ((_, fields),) = entries
    await app.services.redis.xadd(stream_key, fields | {name.encode(): value for name, value in changes.items()})


@pytest.mark.parametrize("shift", [-1, 1, 2, 1000, 2**61, 2**62 + 1, 10**30])
async def test_entry_with_a_wrong_seq_loses_no_events(app: RunningApp, account: AccountClient, shift: int) -> None:
    async with follow_exactly(app, account):
        await _copy_last_entry(app, s=1 + shift)


async def test_event_of_a_copied_database_is_not_delivered(app: RunningApp, account: AccountClient) -> None:
    """A copy of the database has the same accounts, and its log continues from the same hash."""
    (head,) = await app.execute_sql(
        "SELECT last_seq, last_hash FROM accounts WHERE id = CAST(:id AS uuid)", id=account.id
    )
    foreign = _continue_log(Head(int(str(head[0])), bytes(head[1])), account.id)  # type: ignore[call-overload]
    async with follow_exactly(app, account):
        await app.publish_events(foreign)


async def test_altered_body_is_not_delivered(app: RunningApp, account: AccountClient) -> None:
    async with account.open_sse(after=0) as stream:
        await stream.expect_ready()
        await stream.next_events(1)
        events = await app.append_events(account, 2)
        altered = [msgspec.structs.replace(event, body=event.body.replace(b'"n":', b'"m":')) for event in events]
        await app.publish_events(altered)
        assert [frame.data for frame in await stream.next_events(2)] == [event.body for event in events]


@pytest.mark.parametrize("fields", [{"x": 1}, {"a": b"\xff", "s": 1, "t": "x"}, {"a": "x", "s": "y", "t": "z"}])
async def test_entry_of_another_form_does_not_break_receipts(
    app: RunningApp, account: AccountClient, fields: dict[EncodableT, EncodableT]
) -> None:
    await app.services.redis.xadd((await app.services.redis_keys.load()).events, fields)
    sent = await account.send_signal()

    async def is_published() -> bool:
        return (await account.get(f"/api/v1/receipts/{sent['signal_id']}"))["stages"]["published"] is not None

    assert await wait_until(is_published)


async def test_each_database_has_keys_of_its_own(app: RunningApp, servers: Servers) -> None:
    other = await read_redis_keys(await servers.create_settings())
    own = await RedisKeyLoader(app.services.engine).load()
    assert set(msgspec.structs.astuple(own)).isdisjoint(msgspec.structs.astuple(other))
    assert await read_redis_keys(app.settings) == own


def _continue_log(head: Head, account_id: str) -> list[Event]:
    events = []
    for number in range(3):
        new_event = NewEvent(
            type="account.broker_added", account_id=account_id, data={"foreign": number}, trace_id="0" * 32
        )
        head, event = append_event(head, new_event, _NOW)
        events.append(event)
    return events
