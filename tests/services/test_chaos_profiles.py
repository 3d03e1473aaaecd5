"""Forced outcomes and every chaos profile, from the webhook to the end of the stream."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from actors.worker import WorkerServices
from signalhub.brokers.chaos import CHAOS_PROFILES
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp, run_app
from tests.kit.servers import Servers
from tests.kit.setting_changes import change_settings

ORDERS = 25
ENDS = {"order.closed", "order.rejected"}

# Moves orders into the past, so that no test waits for the broker's delays.
MAKE_ORDERS_DUE = """
    UPDATE orders SET due_at = statement_timestamp(), created_at = created_at - interval '1 minute',
        filled_at = filled_at - interval '1 minute'
    WHERE due_at > statement_timestamp() AND next_attempt_at IS NULL
"""


@pytest.fixture(scope="module")
async def fast_retry_app(servers: Servers, logs: Path) -> AsyncIterator[RunningApp]:
    settings = await servers.create_settings(broker_profile="instant", retry_base_s=0.02, retry_cap_s=0.05, lease_s=0.6)
    async with run_app(settings, logs) as app:
        yield app


@asynccontextmanager
async def _run_worker(app: RunningApp, chaos: str, *, cancel_every_s: float | None = None) -> AsyncIterator[None]:
    """Run a worker under `chaos` during the block, and cancel its work in the middle every `cancel_every_s`.

    A sweep that the database refuses, on a busy machine or because it met `MAKE_ORDERS_DUE`, is repeated, as the
    scheduler of a worker does.
    """
    worker = WorkerServices(change_settings(app.settings, chaos=chaos))

    async def work() -> None:
        while True:
            await worker.sweep()
            await asyncio.sleep(0.05)
            await app.execute_sql(MAKE_ORDERS_DUE)

    async def work_until_cancelled() -> None:
        while True:
            with suppress(SQLAlchemyError, OSError, TimeoutError):
                await asyncio.wait_for(work(), cancel_every_s)

    task = asyncio.create_task(work_until_cancelled())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await worker.close()


async def _send_and_follow(account: AccountClient, path: str, sent: list[str]) -> dict[str, list[Any]]:
    """Send each text and return the events of each order, read from the stream until the order has ended."""
    histories: dict[str, list[Any]] = defaultdict(list)
    ended = 0
    async with account.open_sse(types="order.*") as stream:
        await stream.expect_ready()
        await asyncio.gather(*(account.send_signal(text, path=path) for text in sent))
        while ended < len(sent):
            event = (await stream.next_event()).json
            histories[event["order_id"]].append(event)
            ended += event["type"] in ENDS
    return histories


async def _check(account: AccountClient, histories: dict[str, list[Any]]) -> None:
    """Check that each order ended once and that the stream brought exactly the events of the log."""
    assert sum(map(len, histories.values())) == len(await account.list_events(after=1, types="order.*"))
    for history in histories.values():
        types = [event["type"] for event in history if event["type"] != "order.retrying"]
        assert types in (["order.pending", "order.executed", "order.closed"], ["order.pending", "order.rejected"])
        assert [event["data"]["version"] for event in history] == list(range(1, len(history) + 1))


@pytest.mark.parametrize("chaos", CHAOS_PROFILES)
async def test_every_order_ends_once_under_chaos(fast_retry_app: RunningApp, chaos: str) -> None:
    account = await fast_retry_app.create_account()
    async with _run_worker(fast_retry_app, chaos):
        histories = await _send_and_follow(
            account, "/webhook/receive-signal/", [signal_texts.make_buy_text(number) for number in range(ORDERS)]
        )
        await asyncio.sleep(0.2)  # surplus events would arrive now
    assert len(histories) == ORDERS
    await _check(account, histories)
    retries = [event for history in histories.values() for event in history if event["type"] == "order.retrying"]
    assert bool(retries) == (chaos in {"flaky", "hostile"})


async def test_interrupted_work_is_neither_lost_nor_repeated(fast_retry_app: RunningApp) -> None:
    account = await fast_retry_app.create_account()
    async with _run_worker(fast_retry_app, "hostile", cancel_every_s=0.2):
        histories = await _send_and_follow(
            account, "/api/v1/signals", [signal_texts.make_buy_text(number) for number in range(ORDERS)]
        )
    await _check(account, histories)


@pytest.mark.parametrize(
    ("directives", "event_types", "last_data"),
    [
        ("reject=market_closed", ["rejected"], {"reason": "market_closed"}),
        ("fail=2", ["retrying", "retrying", "executed", "closed"], {"attempts": 3}),
        ("fail=99", ["retrying"] * 5 + ["rejected"], {"reason": "simulated_failure"}),
        ("fill_after=1s close_after=2s", ["executed", "closed"], {"close_reason": "time"}),
        ("outcome=take_profit", ["executed", "closed"], {"close_reason": "take_profit", "close_price": "1.0890"}),
        ("outcome=stop_loss", ["executed", "closed"], {"close_reason": "stop_loss", "close_price": "1.0850"}),
        ("fail=1, outcome=stop_loss", ["retrying", "executed", "closed"], {"close_reason": "stop_loss"}),
    ],
)
async def test_forced_outcome_holds_under_chaos(
    fast_retry_app: RunningApp, directives: str, event_types: list[str], last_data: dict[str, Any]
) -> None:
    account = await fast_retry_app.create_account()
    async with _run_worker(fast_retry_app, "hostile"):
        (history,) = (
            await _send_and_follow(account, "/api/v1/signals", [f"{signal_texts.BUY}\n#sim {directives}"])
        ).values()
    assert [event["type"] for event in history] == ["order.pending", *(f"order.{name}" for name in event_types)]
    assert last_data.items() <= history[-1]["data"].items()
