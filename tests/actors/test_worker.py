"""A real worker process: what rings wakes it, and what nobody rings for is found all the same."""

import asyncio
from statistics import median
from time import monotonic

from signalhub.jobs import JobNotifier
from signalhub.services.drafts import OrderDefaults
from signalhub.services.intake import Ingest
from tests.kit import texts
from tests.kit.hub import RunningApp
from tests.kit.submissions import make_submission
from tests.kit.trader import AccountClient
from tests.kit.waiting import wait_until


async def test_a_signal_becomes_a_closed_order_by_itself(live_trader: AccountClient) -> None:
    async with live_trader.open_sse() as stream:
        await stream.expect_ready()
        sent = await live_trader.send_signal()
        found = await stream.read_until("order.closed")
    assert [frame.event for frame in found] == ["signal.accepted", "order.pending", "order.executed", "order.closed"]
    assert [frame.json["seq"] for frame in found] == list(range(sent["seq"] - 1, sent["seq"] + 3))
    assert {frame.json["trace_id"] for frame in found} == {sent["trace_id"]}


async def test_an_idle_worker_wakes_at_once(live_trader: AccountClient) -> None:
    """Left to itself, Dramatiq's consumer sleeps up to a second between two looks."""
    waits = []
    async with live_trader.open_sse() as stream:
        await stream.expect_ready()
        for number in range(5):
            await asyncio.sleep(0.6)
            began = monotonic()
            await live_trader.send_signal(texts.make_buy_text(number))
            await stream.read_until("order.executed")
            waits.append(monotonic() - began)
            await stream.read_until("order.closed")
    assert median(waits) < 0.1


async def test_what_nobody_has_rung_for_is_found(live: RunningApp, live_trader: AccountClient) -> None:
    """As after a Redis that lost the bell: the order is due, and the clock sees it."""
    silent = Ingest(
        live.services.engine, live.services.ingest._broker, lambda *_: None, order_defaults=OrderDefaults("instant")
    )  # noqa: SLF001 - the same broker
    for number in range(20):
        await silent.accept(make_submission(live_trader.id, texts.make_buy_text(number)))

    async def are_closed() -> bool:
        return bool((await live_trader.get("/analytics/"))["by_status"]["closed"] == 20)

    assert await wait_until(are_closed, timeout_s=5)


async def test_many_at_once_are_each_done_once(live_trader: AccountClient) -> None:
    await asyncio.gather(*(live_trader.send_signal(texts.make_buy_text(number)) for number in range(100)))

    async def are_closed() -> bool:
        return bool((await live_trader.get("/analytics/"))["by_status"]["closed"] == 100)

    assert await wait_until(are_closed, timeout_s=15)
    events = await live_trader.list_events()
    assert [event["seq"] for event in events] == list(range(1, 402))
    stories = [(event["order_id"], event["type"]) for event in events[1:]]
    assert len(set(stories)) == len(stories)


async def test_a_bell_for_nothing_does_no_harm(live: RunningApp, live_trader: AccountClient) -> None:
    sent = await live_trader.send_signal()
    pipeline = live.services.redis.pipeline(transaction=False)
    for _ in range(10):
        JobNotifier().enqueue(pipeline, [sent["order_id"], "00000000-0000-7000-8000-000000000000"])
    await pipeline.execute()

    async def is_closed() -> bool:
        return bool((await live_trader.get_order(sent["order_id"]))["status"] == "closed")

    await wait_until(is_closed)
    await asyncio.sleep(0.2)
    assert len(await live_trader.list_events()) == 5


async def test_a_worker_is_seen(live: RunningApp) -> None:
    assert (await live.http.get("/health/ready")).json()["workers"] is True
