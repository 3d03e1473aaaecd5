"""What is older than an operator wants to keep is forgotten, from the beginning and never out of the middle."""

import asyncio
from datetime import timedelta

import pytest

from actors import retention as clock
from db import retention
from tests.kit import texts
from tests.kit.hub import RunningApp
from tests.kit.trader import AccountClient, receive_json

_AGE = "UPDATE events SET at = at - interval '40 days' WHERE account_id = CAST(:id AS uuid) AND seq <= :upto"
_SENT_LONG_AGO = """
    UPDATE signals SET id = CAST(overlay(id::text PLACING '0180' FROM 1 FOR 4) AS uuid)
    WHERE account_id = CAST(:id AS uuid)
"""
_TIE = "UPDATE orders SET signal_id = CAST(overlay(signal_id::text PLACING '0180' FROM 1 FOR 4) AS uuid) WHERE id = :id"


async def prune(hub: RunningApp) -> int:
    pruned = 0
    while True:
        async with hub.services.engine.begin() as connection:
            some = await retention.prune(connection, timedelta(days=30))
        if not some:
            return pruned
        pruned += some


async def test_a_log_loses_its_beginning_and_its_readers_are_told(
    hub: RunningApp, trader: AccountClient, stranger: AccountClient
) -> None:
    await hub.append_events(trader, 450)
    await hub.execute_sql(_AGE, id=trader.id, upto=401)
    assert await prune(hub) == 401
    page = await trader.get("/api/v1/events", after=7, limit=3)
    assert page["gap"] == {"first": 8, "last": 401}
    assert [event["seq"] for event in page["items"]] == [402, 403, 404]
    assert "gap" not in await trader.get("/api/v1/events", after=401)
    async with trader.open_sse(after=7) as stream, trader.open_websocket(after=7, batch=1) as socket:
        await stream.expect_ready()
        await receive_json(socket)
        gap = (await stream.next_event()).json
        assert (gap["type"], gap["first"], gap["last"]) == ("stream.gap", 8, 401)
        assert (await receive_json(socket))[0] == gap
        await trader.send_signal()
        assert [frame.json["seq"] for frame in await stream.next_events(52)][-2:] == [452, 453]
    assert len(await stranger.list_events()) == 1


async def test_an_event_that_is_younger_stops_it_though_older_ones_follow(
    hub: RunningApp, trader: AccountClient
) -> None:
    """As after a step of the database's clock: else there would be a hole in the middle."""
    await hub.append_events(trader, 5)
    await hub.execute_sql(_AGE + " AND seq <> 3", id=trader.id, upto=6)
    await prune(hub)
    assert [event["seq"] for event in await trader.list_events()] == [3, 4, 5, 6]


async def test_old_signals_go_when_their_orders_have_ended(hub: RunningApp, trader: AccountClient) -> None:
    waiting, ended = await trader.send_signal(), await trader.send_signal(texts.SELL)
    await hub.advance_order(ended["order_id"])
    await hub.advance_order(ended["order_id"])
    await hub.execute_sql(_SENT_LONG_AGO, id=trader.id)
    for one in (waiting, ended):
        await hub.execute_sql(_TIE, id=one["order_id"])
    assert await prune(hub) == 1
    (left,) = (await trader.get("/api/v1/signals"))["items"]
    assert left["id"][4:] == waiting["signal_id"][4:]
    assert (await trader.get_order(ended["order_id"]))["status"] == "closed"


@pytest.mark.parametrize(("days", "kept"), [(0, 6), (30, 2)])
async def test_the_clock_prunes_what_is_older_than_the_setting_and_for_0_nothing(
    hub: RunningApp, trader: AccountClient, days: int, kept: int
) -> None:
    await hub.append_events(trader, 5)
    await hub.execute_sql(_AGE, id=trader.id, upto=4)
    running = asyncio.gather(
        *(clock.prune_expired_forever(hub.services.engine, days, interval_s=0.05) for _ in range(3))
    )
    await asyncio.sleep(0.5)
    running.cancel()
    assert len(await trader.list_events()) == kept
