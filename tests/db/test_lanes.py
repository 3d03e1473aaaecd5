"""Lanes: two workers never see to one account at the same time, and nobody keeps a lane by dying or hanging."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import DBAPIError

from db import bulk, lanes, orders
from signalhub.domain.ids import uuid7
from tests.kit.hub import Hub
from tests.kit.orders import an_order
from tests.kit.waiting import until


@pytest.fixture
async def due(hub: Hub) -> AsyncIterator[None]:
    """Orders of forty accounts, all due; they belong to nobody and go again."""
    now = datetime.now(UTC)
    ids = [[uuid7(int(now.timestamp() * 1000), os.urandom(10)) for _ in range(2)] for _ in range(40)]
    placed = [an_order(id=one, account_id=other, created_at=now, updated_at=now) for one, other in ids]
    async with hub.house.engine.begin() as connection:
        await bulk.run(connection, [orders.insert([(order, now) for order in placed], now)])
    yield
    names = [order.id for order in placed]
    await hub.execute("DELETE FROM orders WHERE id = ANY(CAST(:ids AS uuid[]))", ids=names)


@pytest.mark.usefixtures("due")
async def test_turns_at_once_share_no_lane(hub: Hub) -> None:
    engine = hub.house.engine
    async with engine.connect() as one, engine.connect() as other, lanes.turn(one, 5) as a, lanes.turn(other, 5) as b:
        assert a
        assert b
        assert set(a).isdisjoint(b)


@pytest.mark.usefixtures("due")
async def test_a_turn_that_fails_gives_its_lanes_back(hub: Hub) -> None:
    async with hub.house.engine.connect() as connection:
        with pytest.raises(LookupError):
            async with lanes.turn(connection, 5) as mine:
                raise LookupError(mine)
    assert await until(lambda: _are_free(hub), timeout_s=3)


@pytest.mark.usefixtures("due")
async def test_who_hangs_loses_its_lanes(hub: Hub) -> None:
    async with hub.house.engine.connect() as connection:
        with pytest.raises(DBAPIError):
            async with lanes.turn(connection, 0.2):
                assert await until(lambda: _are_free(hub), timeout_s=3)


async def _are_free(hub: Hub) -> bool:
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = :class AND pid <> pg_backend_pid()"
    return await hub.execute(held, **{"class": lanes.CLASS}) == []
