"""A real worker process: a message wakes it, and the scheduler finds orders without a message."""

import asyncio
from statistics import median
from time import monotonic
from uuid import uuid4

from signalhub.jobs import JobNotifier
from signalhub.services.ingest import Ingest
from signalhub.services.signal_records import OrderDefaults
from signalhub.streams.metrics import PUBLISH_FAILURES
from signalhub.streams.redis_state import RedisStatus
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp
from tests.kit.submission_factory import make_submission


async def test_worker_runs_a_signal_to_a_closed_order(running_service_account: AccountClient) -> None:
    async with running_service_account.open_sse() as stream:
        await stream.expect_ready()
        sent = await running_service_account.send_signal()
        frames = await stream.read_until("order.closed")
    assert [frame.event for frame in frames] == ["signal.accepted", "order.pending", "order.executed", "order.closed"]
    assert [frame.json["seq"] for frame in frames] == list(range(sent["seq"] - 1, sent["seq"] + 3))
    assert {frame.json["trace_id"] for frame in frames} == {sent["trace_id"]}


async def test_idle_worker_wakes_without_polling_delay(running_service_account: AccountClient) -> None:
    """Dramatiq's own consumer would sleep up to a second between two polls."""
    waits = []
    async with running_service_account.open_sse() as stream:
        await stream.expect_ready()
        for number in range(5):
            await asyncio.sleep(0.6)
            started_at = monotonic()
            await running_service_account.send_signal(signal_texts.make_buy_text(number))
            await stream.read_until("order.executed")
            waits.append(monotonic() - started_at)
            await stream.read_until("order.closed")
    assert median(waits) < 0.1


async def test_scheduler_finds_orders_without_wakeup(
    running_service: RunningApp, running_service_account: AccountClient
) -> None:
    """As when Redis has lost the message: the order is due, and the scheduler sees it."""
    silent = Ingest(
        running_service.services.engine,
        running_service.services.ingest._broker,  # noqa: SLF001 - the same broker as the service's
        lambda *_: None,
        order_defaults=OrderDefaults("instant"),
    )
    for number in range(20):
        await silent.accept(make_submission(running_service_account.id, signal_texts.make_buy_text(number)))

    async def are_closed() -> bool:
        return bool((await running_service_account.get("/analytics/"))["by_status"]["closed"] == 20)

    assert await wait_until(are_closed)


async def test_concurrent_signals_are_each_processed_once(running_service_account: AccountClient) -> None:
    await asyncio.gather(
        *(running_service_account.send_signal(signal_texts.make_buy_text(number)) for number in range(100))
    )

    async def are_closed() -> bool:
        return bool((await running_service_account.get("/analytics/"))["by_status"]["closed"] == 100)

    assert await wait_until(are_closed)
    events = await running_service_account.list_events()
    assert [event["seq"] for event in events] == list(range(1, 402))
    order_events = [(event["order_id"], event["type"]) for event in events[1:]]
    assert len(set(order_events)) == len(order_events)


async def test_wakeup_without_messages_is_ignored(
    running_service: RunningApp, running_service_account: AccountClient
) -> None:
    sent = await running_service_account.send_signal()
    keys = await running_service.services.redis_keys.load()
    pipeline = running_service.services.redis.pipeline(transaction=False)
    for _ in range(10):
        JobNotifier(keys).enqueue(
            pipeline, [(sent["order_id"], sent["trace_id"]), ("00000000-0000-7000-8000-000000000000", "0" * 32)]
        )
    await pipeline.execute()

    async def is_closed() -> bool:
        return bool((await running_service_account.get_order(sent["order_id"]))["status"] == "closed")

    await wait_until(is_closed)
    await asyncio.sleep(0.2)
    assert len(await running_service_account.list_events()) == 5


async def test_worker_heartbeat_is_reported(running_service: RunningApp) -> None:
    assert (await running_service.http.get("/health/ready")).json()["workers"] is True


async def test_nothing_to_publish_is_no_publish_failure(app: RunningApp) -> None:
    def count_failures() -> float:
        return sum(sample.value for metric in PUBLISH_FAILURES.collect() for sample in metric.samples)

    before, app.worker.redis_monitor.status = count_failures(), RedisStatus.READ_ONLY
    await app.worker.advance([str(uuid4())])
    app.worker.redis_monitor.status = RedisStatus.UNKNOWN
    assert count_failures() == before
