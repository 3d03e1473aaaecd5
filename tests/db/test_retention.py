"""Retention prunes logs from the beginning and never from the middle."""

import asyncio
from datetime import timedelta

import pytest

from actors import worker_loops as clock
from db import retention
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient, receive_json
from tests.kit.running_app import RunningApp

_AGE = "UPDATE events SET at = at - interval '40 days' WHERE account_id = CAST(:id AS uuid) AND seq <= :upto"
_SENT_LONG_AGO = """
    UPDATE signals SET id = CAST(overlay(id::text PLACING '0180' FROM 1 FOR 4) AS uuid)
    WHERE account_id = CAST(:id AS uuid)
"""
_TIE = "UPDATE orders SET signal_id = CAST(overlay(signal_id::text PLACING '0180' FROM 1 FOR 4) AS uuid) WHERE id = :id"


async def prune(app: RunningApp) -> int:
    pruned = 0
    while True:
        async with app.services.engine.begin() as connection:
            some = await retention.prune(connection, timedelta(days=30))
        if not some:
            return pruned
        pruned += some


async def test_pruned_log_reports_gap(app: RunningApp, account: AccountClient, other_account: AccountClient) -> None:
    await app.append_events(account, 450)
    await app.execute_sql(_AGE, id=account.id, upto=401)
    assert await prune(app) == 401
    page = await account.get("/api/v1/events", after=7, limit=3)
    assert page["gap"] == {"first": 8, "last": 401}
    assert [event["seq"] for event in page["items"]] == [402, 403, 404]
    assert "gap" not in await account.get("/api/v1/events", after=401)
    async with account.open_sse(after=7) as stream, account.open_websocket(after=7, batch=1) as socket:
        await stream.expect_ready()
        await receive_json(socket)
        gap = (await stream.next_event()).json
        assert (gap["type"], gap["first"], gap["last"]) == ("stream.gap", 8, 401)
        assert (await receive_json(socket))[0] == gap
        await account.send_signal()
        assert [frame.json["seq"] for frame in await stream.next_events(52)][-2:] == [452, 453]
    assert len(await other_account.list_events()) == 1


async def test_pruning_stops_at_first_recent_event(app: RunningApp, account: AccountClient) -> None:
    """As after a step of the database's clock: deleting every old event would leave a gap in the middle."""
    await app.append_events(account, 5)
    await app.execute_sql(_AGE + " AND seq <> 3", id=account.id, upto=6)
    await prune(app)
    assert [event["seq"] for event in await account.list_events()] == [3, 4, 5, 6]


async def test_old_signals_are_deleted_after_their_orders_end(app: RunningApp, account: AccountClient) -> None:
    waiting, ended = await account.send_signal(), await account.send_signal(signal_texts.SELL)
    await app.advance_order(ended["order_id"])
    await app.advance_order(ended["order_id"])
    await app.execute_sql(_SENT_LONG_AGO, id=account.id)
    for sent in (waiting, ended):
        await app.execute_sql(_TIE, id=sent["order_id"])
    assert await prune(app) == 1
    (left,) = (await account.get("/api/v1/signals"))["items"]
    assert left["id"][4:] == waiting["signal_id"][4:]
    assert (await account.get_order(ended["order_id"]))["status"] == "closed"


@pytest.mark.parametrize(("days", "kept"), [(0, 6), (30, 2)])
async def test_scheduler_prunes_by_the_setting_and_nothing_for_0(
    app: RunningApp, account: AccountClient, days: int, kept: int
) -> None:
    await app.append_events(account, 5)
    await app.execute_sql(_AGE, id=account.id, upto=4)
    running = asyncio.gather(
        *(clock.prune_expired_forever(app.services.engine, days, interval_s=0.05) for _ in range(3))
    )
    await asyncio.sleep(0.5)
    running.cancel()
    assert len(await account.list_events()) == kept
