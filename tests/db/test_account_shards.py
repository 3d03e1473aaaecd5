"""Account shards: two workers never advance one account at the same time, and no dead or hung worker keeps a shard."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import DBAPIError

from db import bulk, orders
from signalhub.domain.identifiers import uuid7
from tests.kit.order_factory import make_order
from tests.kit.polling import wait_until
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
    order_ids = [order.id for order in placed]
    await app.execute_sql("DELETE FROM orders WHERE id = ANY(CAST(:ids AS uuid[]))", ids=order_ids)


@pytest.mark.usefixtures("due_orders")
async def test_concurrent_workers_acquire_disjoint_shards(app: RunningApp) -> None:
    engine = app.services.engine
    async with (
        engine.connect() as first_worker,
        engine.connect() as second_worker,
        orders.acquire_shards(first_worker, 5) as first_shards,
        orders.acquire_shards(second_worker, 5) as second_shards,
    ):
        assert first_shards
        assert second_shards
        assert set(first_shards).isdisjoint(second_shards)


@pytest.mark.usefixtures("due_orders")
async def test_failed_sweep_releases_its_shards(app: RunningApp) -> None:
    async with app.services.engine.connect() as connection:
        with pytest.raises(LookupError):
            async with orders.acquire_shards(connection, 5) as shards:
                raise LookupError(shards)
    assert await wait_until(lambda: _are_free(app), timeout_s=3)


@pytest.mark.usefixtures("due_orders")
async def test_hung_worker_releases_account_shards(app: RunningApp) -> None:
    async with app.services.engine.connect() as connection:
        with pytest.raises(DBAPIError):
            async with orders.acquire_shards(connection, 0.2):
                assert await wait_until(lambda: _are_free(app), timeout_s=3)


async def _are_free(app: RunningApp) -> bool:
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = :class AND pid <> pg_backend_pid()"
    return await app.execute_sql(held, **{"class": orders.SHARD_LOCK_CLASS}) == []
