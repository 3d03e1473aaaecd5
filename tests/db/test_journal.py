"""The log's numbers: no gap, no double, in the order of the commits; whoever writes at the same time."""

import asyncio
import random

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from db import bulk, journal, log
from db.engine import create_engine
from signalhub.domain.events import NewEvent, chain_hash
from tests.kit.hub import RunningApp
from tests.kit.trader import AccountClient


async def test_eight_writers_at_once_leave_no_gap_and_a_reader_never_skips(
    hub: RunningApp, trader: AccountClient
) -> None:
    """The reader follows by number, as a subscriber does: what it has passed must never fill up behind it."""
    engine = create_engine(hub.settings.database_url, pool_size=10)
    dice = random.Random(3)  # noqa: S311 - a test's dice
    seen: list[int] = []

    async def write(writer: int) -> None:
        for _ in range(12):
            async with engine.connect() as connection:
                heads = await journal.lock_heads(connection, {trader.id})
                facts = [
                    NewEvent(type="account.broker_added", account_id=trader.id, data={"w": writer}, trace_id="t")
                    for _ in range(dice.randint(1, 3))
                ]
                await journal.append_events(connection, heads, facts)
                await asyncio.sleep(dice.random() / 500)
                await (connection.rollback() if dice.random() < 0.2 else connection.commit())

    async def follow(done: asyncio.Event) -> None:
        is_last = False
        while not is_last:
            is_last = done.is_set()
            async with engine.connect() as connection:
                seen.extend(line.seq for line in await log.page(connection, trader.id, len(seen), max_events=500))

    done = asyncio.Event()
    following = asyncio.create_task(follow(done))
    await asyncio.gather(*(write(writer) for writer in range(8)))
    done.set()
    await following
    async with engine.connect() as connection:
        lines = await log.page(connection, trader.id, 0, max_events=500)
        head = await journal.lock_heads(connection, {trader.id})
    await engine.dispose()
    assert seen == [line.seq for line in lines] == list(range(1, len(lines) + 1))
    assert head.by_account[trader.id].seq == len(lines)
    digest = b""
    for line in lines:
        digest = chain_hash(digest, line.body)
    assert head.by_account[trader.id].hash == digest


async def test_accounts_locked_together_cannot_wait_for_each_other(hub: RunningApp) -> None:
    ids = [(await hub.create_account()).id for _ in range(5)]

    async def write(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - a test's dice
        for _ in range(10):
            chosen = dice.sample(ids, 3)
            async with hub.services.engine.begin() as connection:
                heads = await journal.lock_heads(connection, chosen)
                facts = [NewEvent(type="key.created", account_id=one, data={}, trace_id="t") for one in chosen]
                await journal.append_events(connection, heads, facts)

    async with asyncio.timeout(10):
        await asyncio.gather(*(write(seed) for seed in range(6)))


async def test_the_log_of_nobody_cannot_be_written(hub: RunningApp) -> None:
    async with hub.services.engine.connect() as connection:
        with pytest.raises(LookupError):
            await journal.lock_heads(connection, {"00000000-0000-7000-8000-000000000000"})


def _rename(trader: AccountClient, name: str) -> bulk.Statement:
    """A write of one row, which is not the row that is locked."""
    statement = "UPDATE api_keys SET label = :label WHERE account_id = CAST(:owner AS uuid) RETURNING id"
    return bulk.Statement(statement, {"label": name, "owner": trader.id})


async def _seen(hub: RunningApp, trader: AccountClient) -> object:
    (found,) = await hub.execute_sql("SELECT label FROM api_keys WHERE account_id = CAST(:id AS uuid)", id=trader.id)
    return found[0]


async def test_a_write_and_the_lock_behind_it_are_one(hub: RunningApp, trader: AccountClient) -> None:
    await hub.append_events(trader, 3)
    async with hub.services.engine.begin() as connection:
        found = await journal.write_and_lock_heads(connection, _rename(trader, "renamed"), {trader.id})
    assert found is not None
    heads, written = found
    assert heads.by_account[trader.id].seq == (await trader.list_events())[-1]["seq"]
    assert written == {trader.api_key.split("_")[1]}
    assert await _seen(hub, trader) == "renamed"


async def test_where_nothing_was_written_nothing_is_locked(
    hub: RunningApp, trader: AccountClient, stranger: AccountClient
) -> None:
    nobody = bulk.Statement("UPDATE api_keys SET label = 'x' WHERE id = 'nobody' RETURNING id", {})
    async with hub.services.engine.connect() as holder, hub.services.engine.connect() as other:
        await journal.lock_heads(holder, {trader.id})
        async with asyncio.timeout(2):
            assert await journal.write_and_lock_heads(other, nobody, {trader.id, stranger.id}) is None


async def test_a_write_comes_before_the_lock_as_with_all_who_do_one_after_the_other(
    hub: RunningApp, trader: AccountClient
) -> None:
    """Or of two who write the same row and log each would wait for what the other has."""

    async def write(name: str) -> None:
        async with hub.services.engine.begin() as connection:
            await journal.write_and_lock_heads(connection, _rename(trader, name), {trader.id})

    async with hub.services.engine.begin() as holder:
        await journal.lock_heads(holder, {trader.id})
        waiting = asyncio.create_task(write("by the one who waits"))
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()
        assert await _is_held(hub.services.engine, trader)
    await waiting
    assert await _seen(hub, trader) == "by the one who waits"


async def _is_held(engine: AsyncEngine, trader: AccountClient) -> bool:
    """Whether somebody's transaction has the row that `_rename` writes."""
    async with engine.connect() as connection:
        free = text("SELECT id FROM api_keys WHERE account_id = CAST(:id AS uuid) FOR UPDATE SKIP LOCKED")
        return not (await connection.execute(free, {"id": trader.id})).fetchall()


async def test_the_time_of_a_lock_that_was_waited_for_is_that_of_its_coming(
    hub: RunningApp, trader: AccountClient
) -> None:
    """Or an event would be older than the one before it."""

    async def write() -> journal.LockedHeads:
        async with hub.services.engine.begin() as connection:
            found = await journal.write_and_lock_heads(connection, _rename(trader, "late"), {trader.id})
        assert found is not None
        return found[0]

    async with hub.services.engine.begin() as holder:
        first = await journal.lock_heads(holder, {trader.id})
        waiting = asyncio.create_task(write())
        await asyncio.sleep(0.3)
        await journal.append_events(
            holder, first, [NewEvent(type="key.created", account_id=trader.id, data={}, trace_id="t")]
        )
    late = await waiting
    assert late.by_account[trader.id].seq == first.by_account[trader.id].seq + 1
    assert (late.now - first.now).total_seconds() > 0.25
