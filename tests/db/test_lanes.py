"""Lanes: two workers never see to one account at the same time, and nobody keeps a lane by dying or hanging."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import DBAPIError

from db import bulk, lanes, orders
from signalhub.domain.ids import uuid7
from tests.kit.hub import RunningApp
from tests.kit.orders import make_order
from tests.kit.waiting import wait_until


@pytest.fixture
async def due(hub: RunningApp) -> AsyncIterator[None]:
    """Orders of forty accounts, all due; they belong to nobody and go again."""
    now = datetime.now(UTC)
    ids = [[uuid7(int(now.timestamp() * 1000), os.urandom(10)) for _ in range(2)] for _ in range(40)]
    placed = [make_order(id=one, account_id=other, created_at=now, updated_at=now) for one, other in ids]
    async with hub.services.engine.begin() as connection:
        await bulk.execute(connection, [orders.insert([(order, now) for order in placed], now)])
    yield
    names = [order.id for order in placed]
    await hub.execute_sql("DELETE FROM orders WHERE id = ANY(CAST(:ids AS uuid[]))", ids=names)


@pytest.mark.usefixtures("due")
async def test_turns_at_once_share_no_lane(hub: RunningApp) -> None:
    engine = hub.services.engine
    async with (
        engine.connect() as one,
        engine.connect() as other,
        lanes.acquire_shards(one, 5) as a,
        lanes.acquire_shards(other, 5) as b,
    ):
        assert a
        assert b
        assert set(a).isdisjoint(b)


@pytest.mark.usefixtures("due")
async def test_a_turn_that_fails_gives_its_lanes_back(hub: RunningApp) -> None:
    async with hub.services.engine.connect() as connection:
        with pytest.raises(LookupError):
            async with lanes.acquire_shards(connection, 5) as mine:
                raise LookupError(mine)
    assert await wait_until(lambda: _are_free(hub), timeout_s=3)


@pytest.mark.usefixtures("due")
async def test_who_hangs_loses_its_lanes(hub: RunningApp) -> None:
    async with hub.services.engine.connect() as connection:
        with pytest.raises(DBAPIError):
            async with lanes.acquire_shards(connection, 0.2):
                assert await wait_until(lambda: _are_free(hub), timeout_s=3)


async def _are_free(hub: RunningApp) -> bool:
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = :class AND pid <> pg_backend_pid()"
    return await hub.execute_sql(held, **{"class": lanes.SHARD_LOCK_CLASS}) == []
