"""`signalhub_stream_heals_total` counts events that the Redis stream lost, and not those that it brought late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from signalhub.streams.event_filter import MATCH_ALL
from signalhub.streams.metrics import BACKFILLS
from signalhub.streams.stream_relay import Relay
from signalhub.streams.subscription import Subscription, subscribe
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp


def _backfill_count() -> float:
    (metric,) = BACKFILLS.collect()
    return next(sample.value for sample in metric.samples if sample.name.endswith("_total"))


@asynccontextmanager
async def _subscribe(
    app: RunningApp, account: AccountClient, *, head_check_interval_s: float
) -> AsyncIterator[Subscription]:
    """Subscribe at the head of the log, through a relay of this process."""
    relay = Relay(app.services.engine, app.settings.redis_url, head_check_interval_s=head_check_interval_s)
    await relay.start()
    await wait_until(lambda: _is_reading(relay))  # what was published before is none of the stream's losses
    try:
        async with subscribe(relay, account.id, None, event_filter=MATCH_ALL, lifetime_s=60) as subscription:
            yield subscription
    finally:
        await relay.stop()


async def _is_reading(relay: Relay) -> bool:
    return relay.is_reading


@pytest.mark.parametrize(("arrives_late", "counted"), [(True, 0), (False, 1)])
async def test_backfill_is_counted_if_the_stream_lost_events(
    app: RunningApp, account: AccountClient, *, arrives_late: bool, counted: int
) -> None:
    before = _backfill_count()
    async with _subscribe(app, account, head_check_interval_s=0.1) as subscription:
        events = await app.append_events(account, 3)
        received = 0
        while received < len(events):
            received += len(await subscription.read(5))
        if arrives_late:
            await app.publish_events(events)
        await asyncio.sleep(1.5)
    assert _backfill_count() - before == counted


async def test_reordered_entries_count_as_no_backfill(app: RunningApp, account: AccountClient) -> None:
    """Processes that commit for the same account at the same time publish in any order."""
    before = _backfill_count()
    async with _subscribe(app, account, head_check_interval_s=60) as subscription:
        for order in ((1, 0), (2, 0, 1), (0,)):
            events, received = await app.append_events(account, len(order)), 0
            await app.publish_events([events[index] for index in order])
            while received < len(events):
                received += len(await subscription.read(5))
        await asyncio.sleep(1.5)
    assert _backfill_count() == before
