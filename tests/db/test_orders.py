"""Claims of due orders, and the check of the version, by which one of two writers wins."""

import asyncio
import gc
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from db import bulk, orders
from signalhub.domain.forced_outcomes import from_stored_text
from signalhub.domain.identifiers import uuid7
from signalhub.domain.order import Executed, Order, apply
from tests.kit.order_factory import EURUSD_LIMIT_BUY, make_order
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp


def _fresh(**changes: object) -> Order:
    now = datetime.now(UTC)
    ids = [uuid7(int(now.timestamp() * 1000), os.urandom(10)) for _ in range(2)]
    return make_order(id=ids[0], signal_id=ids[1], created_at=now, updated_at=now, **changes)


async def _insert(app: RunningApp, *placed: Order, due_in_s: float | None = -1) -> list[str]:
    async with app.services.engine.begin() as connection:
        await bulk.execute(connection, [orders.insert([(one, None) for one in placed], placed[0].created_at)])
    await app.execute_sql(
        "UPDATE orders SET due_at = now() + make_interval(secs => :s) WHERE id = ANY(CAST(:ids AS uuid[]))",
        s=due_in_s,
        ids=[order.id for order in placed],
    )
    return [order.id for order in placed]


async def _claim(app: RunningApp, ids: list[str], lease_s: float = 5, max_orders: int = 100) -> list[str]:
    async with app.services.engine.begin() as connection:
        claimed = await orders.claim(connection, lease_s, max_orders=max_orders, order_ids=ids)
    return [] if claimed is None else [order.id for order in claimed.orders]


async def _save(
    connection: AsyncConnection,
    moved: Mapping[str, tuple[Order, datetime | None]],
    expected_versions: Mapping[str, int],
) -> set[str]:
    statement = orders.save(moved, expected_versions)
    return {row.id for row in await connection.execute(text(statement.sql), statement.parameters)}


async def test_claim_takes_due_orders_only(app: RunningApp) -> None:
    due, later, never = _fresh(), _fresh(), _fresh()
    ids = [*await _insert(app, due), *await _insert(app, later, due_in_s=60), *await _insert(app, never, due_in_s=None)]
    assert await _claim(app, ids) == [due.id]


async def test_order_is_claimed_again_after_its_lease_only(app: RunningApp) -> None:
    ids = await _insert(app, _fresh())
    assert await _claim(app, ids, lease_s=0.3) == ids
    assert await _claim(app, ids) == []
    assert await wait_until(lambda: _claim(app, ids)) == ids
    assert await _claim(app, ids) == []


async def test_claimed_row_is_freed_without_garbage_collection(app: RunningApp) -> None:
    ids = await _insert(app, _fresh())
    gc.disable()
    try:
        assert await _claim(app, ids) == ids
        held = [held for held in gc.get_objects() if isinstance(held, dict) and held.get("id") == ids[0]]
    finally:
        gc.enable()
    assert held == []


async def test_concurrent_claims_do_not_overlap(app: RunningApp) -> None:
    ids = await _insert(app, *(_fresh() for _ in range(60)))
    batches = await asyncio.gather(*(_claim(app, ids, max_orders=10) for _ in range(8)))
    claimed = [order_id for batch in batches for order_id in batch]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) | set(await _claim(app, ids)) == set(ids)


async def test_concurrent_saves_of_one_version_write_once(app: RunningApp) -> None:
    order = _fresh()
    await _insert(app, order)

    async def save(price: str) -> set[str]:
        moved = apply(order, Executed(Decimal(price), "b"), datetime.now(UTC))
        async with app.services.engine.begin() as connection:
            return await _save(connection, {order.id: (moved, None)}, {order.id: order.version})

    results = await asyncio.gather(*(save(f"1.{number}") for number in range(6)))
    assert sorted(results, key=len) == [set()] * 5 + [{order.id}]


async def test_save_of_many_writes_those_with_the_expected_version(app: RunningApp) -> None:
    placed = [_fresh() for _ in range(4)]
    ids = await _insert(app, *placed)
    await app.execute_sql("UPDATE orders SET version = 2 WHERE id = CAST(:id AS uuid)", id=ids[1])
    moved = {order.id: (apply(order, Executed(Decimal("1.5"), "b"), order.created_at), None) for order in placed}
    async with app.services.engine.begin() as connection:
        saved_ids = await _save(connection, moved, dict.fromkeys(ids, 1))
    assert saved_ids == {ids[0], ids[2], ids[3]}


PRICES = st.decimals("0.00000001", "99999999", allow_nan=False).map(lambda price: price.quantize(Decimal("1e-8")))


TEXTS = st.text("aé漢'\"\\{},\n\t ", max_size=20)


@given(entry=st.none() | PRICES, targets=st.lists(PRICES, min_size=1, max_size=9), words=TEXTS)
@settings(max_examples=25, deadline=None, phases=[Phase.generate])  # shrinking would take as long as all other tests
async def test_order_round_trips(app: RunningApp, entry: Decimal | None, targets: list[Decimal], words: str) -> None:
    terms = replace(EURUSD_LIMIT_BUY, entry=entry, take_profits=tuple(targets), symbol="X" + words.strip())
    order = _fresh(terms=terms, simulation=from_stored_text(words))
    ids = await _insert(app, order)
    async with app.services.engine.begin() as connection:
        claimed = await orders.claim(connection, 1, max_orders=1, order_ids=ids)
    assert claimed is not None
    assert claimed.orders == (order,)
    assert [str(price) for price in claimed.orders[0].terms.take_profits] == [str(price) for price in targets]


@pytest.mark.parametrize("column", ["quantity", "stop_loss"])
async def test_untradable_order_violates_a_constraint(app: RunningApp, column: str) -> None:
    order = _fresh(terms=replace(EURUSD_LIMIT_BUY, **{column: Decimal(0)}))
    with pytest.raises(Exception, match="positive"):
        await _insert(app, order)
