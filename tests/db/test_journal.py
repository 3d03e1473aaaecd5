"""The log's numbers: no gap, no double, in the order of the commits; whoever writes at the same time."""

import asyncio
import random

import pytest

from db import journal, log
from db.engine import create_engine
from signalhub.domain.events import Fact, chain
from tests.kit.hub import Hub
from tests.kit.trader import Trader


async def test_eight_writers_at_once_leave_no_gap_and_a_reader_never_skips(hub: Hub, trader: Trader) -> None:
    """The reader follows by number, as a subscriber does: what it has passed must never fill up behind it."""
    engine = create_engine(hub.settings.database_url, pool_size=10)
    dice = random.Random(3)  # noqa: S311 - a test's dice
    seen: list[int] = []

    async def write(writer: int) -> None:
        for _ in range(12):
            async with engine.connect() as connection:
                heads = await journal.lock(connection, {trader.id})
                facts = [
                    Fact(type="account.broker_added", account_id=trader.id, data={"w": writer}, trace_id="t")
                    for _ in range(dice.randint(1, 3))
                ]
                await journal.write(connection, heads, facts)
                await asyncio.sleep(dice.random() / 500)
                await (connection.rollback() if dice.random() < 0.2 else connection.commit())

    async def follow(done: asyncio.Event) -> None:
        is_last = False
        while not is_last:
            is_last = done.is_set()
            async with engine.connect() as connection:
                seen.extend(line.seq for line in await log.page(connection, trader.id, len(seen), most=500))

    done = asyncio.Event()
    following = asyncio.create_task(follow(done))
    await asyncio.gather(*(write(writer) for writer in range(8)))
    done.set()
    await following
    async with engine.connect() as connection:
        lines = await log.page(connection, trader.id, 0, most=500)
        head = await journal.lock(connection, {trader.id})
    await engine.dispose()
    assert seen == [line.seq for line in lines] == list(range(1, len(lines) + 1))
    assert head.by_account[trader.id].seq == len(lines)
    digest = b""
    for line in lines:
        digest = chain(digest, line.body)
    assert head.by_account[trader.id].hash == digest


async def test_accounts_locked_together_cannot_wait_for_each_other(hub: Hub) -> None:
    ids = [(await hub.trader()).id for _ in range(5)]

    async def write(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - a test's dice
        for _ in range(10):
            chosen = dice.sample(ids, 3)
            async with hub.house.engine.begin() as connection:
                heads = await journal.lock(connection, chosen)
                facts = [Fact(type="key.created", account_id=one, data={}, trace_id="t") for one in chosen]
                await journal.write(connection, heads, facts)

    async with asyncio.timeout(10):
        await asyncio.gather(*(write(seed) for seed in range(6)))


async def test_the_log_of_nobody_cannot_be_written(hub: Hub) -> None:
    async with hub.house.engine.connect() as connection:
        with pytest.raises(LookupError):
            await journal.lock(connection, {"00000000-0000-7000-8000-000000000000"})
