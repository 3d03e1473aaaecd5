"""The client on a running service, most of it on one whose streams end after 0.3 s."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from time import monotonic

import pytest

from signalhub.client import Client, Event, Item, Refused, Reset, Unreachable
from signalhub.client.follow import Transport
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp, run_app
from tests.kit.servers import Servers
from tests.kit.signal_texts import BUY, STOP_ON_WRONG_SIDE
from tests.kit.tcp_proxy import TcpProxy

TRANSPORTS: list[Transport] = ["sse", "websocket"]


@pytest.fixture(scope="module")
async def short_stream_app(servers: Servers, logs: Path) -> AsyncIterator[RunningApp]:
    """Run a service that ends each stream after 0.3 s."""
    async with run_app(await servers.create_settings(stream_lifetime_s=0.3), logs) as running:
        yield running


async def take_items(client: Client, count: int, transport: Transport, after: int | str | None = None) -> list[Item]:
    async with aclosing(client.events(after=after, transport=transport)) as events:
        items: list[Item] = []
        async for item in events:
            items.append(item)
            if len(items) == count:
                break
    return items


def _seqs(items: list[Item]) -> list[int]:
    return [item.seq for item in items if isinstance(item, Event)]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_events_arrive_once_in_order_across_connections(
    short_stream_app: RunningApp, transport: Transport
) -> None:
    account = await short_stream_app.create_account()
    connection_changes: list[bool] = []
    async with Client(short_stream_app.settings.web.base_url, account.api_key) as client:
        events = client.events(after=0, transport=transport, on_connection_change=connection_changes.append)
        async with aclosing(events), asyncio.timeout(20):
            received = [await anext(events)]
            for _ in range(4):
                await short_stream_app.publish_events(await short_stream_app.append_events(account, 5))
                received += [await anext(events) for _ in range(5)]
                await asyncio.sleep(0.15)
    assert _seqs(received) == list(range(1, 22))
    assert connection_changes.count(True) > 1


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_silent_connection_is_replaced_after_two_heartbeats(
    app: RunningApp, account: AccountClient, transport: Transport
) -> None:
    connection_changes: list[tuple[bool, float]] = []
    async with TcpProxy(app.settings.web.port) as proxy, Client(proxy.url, account.api_key) as client:
        events = client.events(
            after=0,
            transport=transport,
            on_connection_change=lambda is_connected: connection_changes.append((is_connected, monotonic())),
        )
        async with aclosing(events), asyncio.timeout(20):
            received = [await anext(events)]
            await asyncio.sleep(3 * app.settings.streams.heartbeat_s)  # heartbeats keep an idle stream
            assert proxy.silence_connections() == 1
            silenced_at = monotonic()
            await app.publish_events(await app.append_events(account, 5))
            received += [await anext(events) for _ in range(5)]
    assert _seqs(received) == [1, 2, 3, 4, 5, 6]
    assert [is_connected for is_connected, _ in connection_changes] == [True, False, True]
    assert connection_changes[1][1] - silenced_at < 8 * app.settings.streams.heartbeat_s


async def test_told_is_a_deprecated_name_of_on_connection_change(app: RunningApp, account: AccountClient) -> None:
    connection_changes: list[bool] = []
    async with Client(app.settings.web.base_url, account.api_key) as client:
        with pytest.warns(DeprecationWarning, match="`told` is now `on_connection_change`"):
            events = client.events(after=0, told=connection_changes.append)
        async with aclosing(events):
            assert _seqs([await anext(events)]) == [1]
    assert connection_changes == [True]


async def test_cursor_is_valid_across_transports(app: RunningApp, account: AccountClient) -> None:
    await app.append_events(account, 4)
    async with Client(app.settings.web.base_url, account.api_key) as client:
        first = await take_items(client, 3, "sse", after=0)
        rest = await take_items(client, 2, "websocket", after=_seqs(first)[-1])
    assert _seqs([*first, *rest]) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cursor_of_another_log_yields_reset(
    app: RunningApp, account: AccountClient, transport: Transport
) -> None:
    async with Client(app.settings.web.base_url, account.api_key) as client:
        (reset,) = await take_items(client, 1, transport, after="feed-1")
    assert isinstance(reset, Reset)
    assert (reset.reason, reset.seq) == ("epoch", 1)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_wrong_key_raises_without_retry(app: RunningApp, transport: Transport) -> None:
    async with Client(app.settings.web.base_url, "shk_wrong") as client:
        with pytest.raises(Refused) as refusal:
            await take_items(client, 1, transport)
    assert (refusal.value.status, refusal.value.code) == (401, "mistyped_key")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_unreachable_service_fails_the_first_connection(transport: Transport) -> None:
    async with Client("http://127.0.0.1:9", "shk_any") as client:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9 cannot be reached"):
            await take_items(client, 1, transport)


async def test_signal_sent_twice_with_one_key_creates_one_order(app: RunningApp, account: AccountClient) -> None:
    async with Client(app.settings.web.base_url, account.api_key) as client:
        first = await client.send(BUY, idempotency_key="a")
        again = await client.send(BUY, idempotency_key="a")
        orders = await client.orders()
    assert (first.order_id, first.duplicate, again.duplicate) == (again.order_id, False, True)
    assert [order.id for order in orders] == [first.order_id]


async def test_refused_signal_reports_position_and_code(app: RunningApp, account: AccountClient) -> None:
    async with Client(app.settings.web.base_url, account.api_key) as client:
        with pytest.raises(Refused) as refusal:
            await client.send(STOP_ON_WRONG_SIDE)
    assert [(problem.code, problem.line, problem.column) for problem in refusal.value.problems] == [
        ("sl_wrong_side", 2, 4)
    ]
    assert not refusal.value.is_passing


async def test_orders_are_paged_up_to_the_limit(app: RunningApp, account: AccountClient) -> None:
    async with Client(app.settings.web.base_url, account.api_key) as client:
        sent = [(await client.send(BUY)).order_id for _ in range(5)]
        listed = await client.orders(limit=3, symbol="EURUSD")
    assert [order.id for order in listed] == sent[:1:-1]
