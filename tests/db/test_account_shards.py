"""Account shards: two sweeps never advance one account at the same time, and no dead or hung worker keeps a shard."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from db import bulk, orders, shards
from signalhub.domain.identifiers import uuid7
from tests.kit.order_factory import make_order
from tests.kit.running_app import RunningApp


@pytest.fixture
async def due_orders(app: RunningApp) -> AsyncIterator[None]:
    """Insert due orders of forty accounts that do not exist, and delete them after the test."""
    now = datetime.now(UTC)
    ids = [[uuid7(int(now.timestamp() * 1000), os.urandom(10)) for _ in range(2)] for _ in range(40)]
    placed = [
        make_order(id=order_id, account_id=account_id, created_at=now, updated_at=now) for order_id, account_id in ids
    ]
    async with app.services.engine.begin() as connection:
        await bulk.execute(connection, [orders.insert([(order, now) for order in placed], now)])
    yield
    await app.execute_sql("UPDATE shards SET leased_until = '-infinity'")
    order_ids = [order.id for order in placed]
    await app.execute_sql("DELETE FROM orders WHERE id = ANY(CAST(:ids AS uuid[]))", ids=order_ids)


async def _lease(app: RunningApp, lease_s: float = 5) -> shards.ShardLease:
    async with app.services.engine.begin() as connection:
        return await shards.lease_due(connection, lease_s)


@pytest.mark.usefixtures("due_orders")
async def test_concurrent_sweeps_lease_disjoint_shards(app: RunningApp) -> None:
    """Many rounds: a sweep that overtakes one that began earlier is seldom."""
    for _ in range(100):
        leases = await asyncio.gather(*(_lease(app) for _ in range(3)))
        leased = [shard for lease in leases for shard in lease.shards]
        assert all(lease.shards for lease in leases)
        assert len(leased) == len(set(leased))
        await app.execute_sql("UPDATE shards SET leased_until = '-infinity'")


@pytest.mark.usefixtures("due_orders")
async def test_rolled_back_lease_holds_nothing(app: RunningApp) -> None:
    async with app.services.engine.connect() as connection:
        first = await shards.lease_due(connection)
    assert set(first.shards) <= await _lease_all(app)


@pytest.mark.usefixtures("due_orders")
async def test_hung_worker_releases_account_shards(app: RunningApp) -> None:
    """Nothing of the lease rests on a connection: the holder may be frozen, or behind a pooler."""
    hung = await _lease(app, 0.3)
    assert not set(hung.shards) & await _lease_all(app, 0.3)
    await asyncio.sleep(0.35)
    assert set(hung.shards) <= await _lease_all(app)
    async with app.services.engine.begin() as connection:
        await shards.release(connection, hung)  # too late: they have another holder by now
    assert await _lease_all(app) == set()


@pytest.mark.usefixtures("due_orders")
async def test_released_shards_are_free_at_once(app: RunningApp) -> None:
    lease = await _lease(app)
    async with app.services.engine.begin() as connection:
        await shards.release(connection, lease)
    assert set(lease.shards) <= await _lease_all(app)


@pytest.mark.usefixtures("due_orders")
async def test_clock_that_steps_back_does_not_prolong_a_lease(app: RunningApp) -> None:
    """A lease of ten minutes from now was made by a clock that was ten minutes ahead."""
    await app.execute_sql("UPDATE shards SET leased_until = now() + interval '10 minutes', holder = 'x'")
    assert (await _lease(app)).shards


async def _lease_all(app: RunningApp, lease_s: float = 5) -> set[int]:
    leased: set[int] = set()
    while more := (await _lease(app, lease_s)).shards:
        leased |= set(more)
    return leased
