"""Event numbers have no gaps and no duplicates, and follow the commits, with any number of concurrent writers."""

import asyncio
import random

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from db import bulk, event_log
from db.engine import create_engine
from signalhub.domain.events import NewEvent, chain_hash
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp


async def test_concurrent_appends_leave_no_sequence_gap(app: RunningApp, account: AccountClient) -> None:
    """The reader continues after its last number, as a subscriber does, so no lower number may appear later."""
    engine = create_engine(app.settings.database_url, pool_size=10)
    rng = random.Random(3)  # noqa: S311 - not for security
    seen: list[int] = []

    async def write(writer: int) -> None:
        for _ in range(12):
            async with engine.connect() as connection:
                heads = await event_log.lock_heads(connection, {account.id})
                new_events = [
                    NewEvent(type="account.broker_added", account_id=account.id, data={"w": writer}, trace_id="t")
                    for _ in range(rng.randint(1, 3))
                ]
                await event_log.append_events(connection, heads, new_events)
                await asyncio.sleep(rng.random() / 500)
                await (connection.rollback() if rng.random() < 0.2 else connection.commit())

    async def follow(done: asyncio.Event) -> None:
        is_last = False
        while not is_last:
            is_last = done.is_set()
            async with engine.connect() as connection:
                seen.extend(
                    event.seq for event in await event_log.page(connection, account.id, len(seen), max_events=500)
                )

    done = asyncio.Event()
    following = asyncio.create_task(follow(done))
    await asyncio.gather(*(write(writer) for writer in range(8)))
    done.set()
    await following
    async with engine.connect() as connection:
        lines = await event_log.page(connection, account.id, 0, max_events=500)
        head = await event_log.lock_heads(connection, {account.id})
    await engine.dispose()
    assert seen == [line.seq for line in lines] == list(range(1, len(lines) + 1))
    assert head.by_account[account.id].seq == len(lines)
    digest = b""
    for line in lines:
        digest = chain_hash(digest, line.body)
    assert head.by_account[account.id].hash == digest


async def test_locking_several_accounts_does_not_deadlock(app: RunningApp) -> None:
    ids = [(await app.create_account()).id for _ in range(5)]

    async def write(seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 - a test's rng
        for _ in range(10):
            chosen = rng.sample(ids, 3)
            async with app.services.engine.begin() as connection:
                heads = await event_log.lock_heads(connection, chosen)
                new_events = [NewEvent(type="key.created", account_id=one, data={}, trace_id="t") for one in chosen]
                await event_log.append_events(connection, heads, new_events)

    async with asyncio.timeout(10):
        await asyncio.gather(*(write(seed) for seed in range(6)))


async def test_lock_heads_rejects_unknown_account(app: RunningApp) -> None:
    async with app.services.engine.connect() as connection:
        with pytest.raises(LookupError):
            await event_log.lock_heads(connection, {"00000000-0000-7000-8000-000000000000"})


def _rename(account: AccountClient, name: str) -> bulk.Statement:
    """Return a write of one row, which is not the row that is locked."""
    statement = "UPDATE api_keys SET label = :label WHERE account_id = CAST(:owner AS uuid) RETURNING id"
    return bulk.Statement(statement, {"label": name, "owner": account.id})


async def _read_label(app: RunningApp, account: AccountClient) -> object:
    (row,) = await app.execute_sql("SELECT label FROM api_keys WHERE account_id = CAST(:id AS uuid)", id=account.id)
    return row[0]


async def test_write_and_lock_heads_returns_written_ids(app: RunningApp, account: AccountClient) -> None:
    await app.append_events(account, 3)
    async with app.services.engine.begin() as connection:
        locked = await event_log.write_and_lock_heads(connection, _rename(account, "renamed"), {account.id})
    assert locked is not None
    heads, written = locked
    assert heads.by_account[account.id].seq == (await account.list_events())[-1]["seq"]
    assert written == {account.api_key.split("_")[1]}
    assert await _read_label(app, account) == "renamed"


async def test_write_without_rows_locks_no_heads(
    app: RunningApp, account: AccountClient, other_account: AccountClient
) -> None:
    no_row = bulk.Statement("UPDATE api_keys SET label = 'x' WHERE id = 'nobody' RETURNING id", {})
    async with app.services.engine.connect() as holder, app.services.engine.connect() as other:
        await event_log.lock_heads(holder, {account.id})
        async with asyncio.timeout(2):
            assert await event_log.write_and_lock_heads(other, no_row, {account.id, other_account.id}) is None


async def test_write_runs_before_head_lock(app: RunningApp, account: AccountClient) -> None:
    """Locked first, two writers of the same row and log would deadlock."""

    async def write(name: str) -> None:
        async with app.services.engine.begin() as connection:
            await event_log.write_and_lock_heads(connection, _rename(account, name), {account.id}, lock_timeout_s=5)

    async with app.services.engine.begin() as holder:
        await event_log.lock_heads(holder, {account.id})
        waiting = asyncio.create_task(write("written last"))
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()
        assert await _is_row_locked(app.services.engine, account)
    await waiting
    assert await _read_label(app, account) == "written last"


async def _is_row_locked(engine: AsyncEngine, account: AccountClient) -> bool:
    """Return whether a transaction has locked the row that `_rename` writes."""
    async with engine.connect() as connection:
        select_unlocked = text("SELECT id FROM api_keys WHERE account_id = CAST(:id AS uuid) FOR UPDATE SKIP LOCKED")
        return not (await connection.execute(select_unlocked, {"id": account.id})).fetchall()


async def test_lock_time_is_taken_after_waiting(app: RunningApp, account: AccountClient) -> None:
    """Taken before, an event would be older than the one that precedes it."""

    async def write() -> event_log.LockedHeads:
        async with app.services.engine.begin() as connection:
            locked = await event_log.write_and_lock_heads(
                connection, _rename(account, "late"), {account.id}, lock_timeout_s=5
            )
        assert locked is not None
        return locked[0]

    async with app.services.engine.begin() as holder:
        first = await event_log.lock_heads(holder, {account.id})
        waiting = asyncio.create_task(write())
        await asyncio.sleep(0.3)
        await event_log.append_events(
            holder, first, [NewEvent(type="key.created", account_id=account.id, data={}, trace_id="t")]
        )
    late = await waiting
    assert late.by_account[account.id].seq == first.by_account[account.id].seq + 1
    assert (late.now - first.now).total_seconds() > 0.25
