"""An order in profile `market` from the text to its end, through the database and the log."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from signalhub.brokers.mock.broker import MockBroker
from signalhub.domain.forced_outcomes import from_stored_text
from signalhub.domain.retry import RetryPolicy
from signalhub.services.ingest import Ingest
from signalhub.services.lifecycle import Lifecycle
from signalhub.services.signal_records import OrderDefaults
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp
from tests.kit.submission_factory import make_submission

LADDER = "BUY EURUSD @ 1.0860\nSL 1.0850\nTP 1.0870\nTP 1.0880\nTP 1.0890"
FAR = "BUY LIMIT EURUSD 1.0860 SL 1.0850 TP 1.0890"


class MarketHarness:
    """Ingest and a worker's lifecycle with a market that passes a day in a second, or at another `speed`."""

    def __init__(
        self,
        app: RunningApp,
        account: AccountClient,
        expiry: timedelta = timedelta(days=1),
        speed: str = "86400",
        **options: str,
    ) -> None:
        broker = MockBroker({"market_speed": speed, **options})
        self.account = account
        self._ingest = Ingest(
            app.services.engine, broker, lambda *_: None, order_defaults=OrderDefaults("market", expiry)
        )
        self._lifecycle = Lifecycle(app.services.engine, broker, RetryPolicy(5, 0.01, 0.02), lease_s=0.5)

    async def accept(self, text: str, simulate: str | None = None) -> str:
        sent = msgspec.structs.replace(make_submission(self.account.id, text), simulation=from_stored_text(simulate))
        return (await self._ingest.accept(sent)).order_id

    async def end(self, order_id: str) -> Any:  # noqa: ANN401 - JSON
        async def ended() -> Any:  # noqa: ANN401 - JSON
            await self._lifecycle.advance([order_id])
            order = await self.account.get_order(order_id)
            return order if order["status"] not in {"pending", "executed"} else None

        return await wait_until(ended)


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def _list_events(account: AccountClient, order_id: str) -> list[Any]:
    items: list[Any] = (await account.get(f"/api/v1/orders/{order_id}/events"))["items"]
    return items


async def test_market_fills_and_closes_an_order_in_parts(app: RunningApp, account: AccountClient) -> None:
    harness = MarketHarness(app, account)
    order_ids = [await harness.accept(LADDER) for _ in range(3)]
    for order in await asyncio.gather(*map(harness.end, order_ids)):
        history = await _list_events(account, order["id"])
        parts = ["order.partially_closed"] * (len(order["closes"]) - 1)
        assert [event["type"] for event in history] == ["order.pending", "order.executed", *parts, "order.closed"]
        assert sum(Decimal(part["quantity"]) for part in order["closes"]) == Decimal(order["quantity"])
        assert [event["data"]["remaining_quantity"] for event in history][:2] == ["0", "1"]
        assert order["remaining_quantity"] == "0"
        assert order["close_reason"] in {"take_profit", "stop_loss"}
        assert _parse_time(order["created_at"]) < _parse_time(order["filled_at"]) < _parse_time(order["closed_at"])
        assert (order["pnl_currency"], order["profile"]) == ("USD", "market")
        assert None not in {order["pnl_price"], order["pips"], order["mae"], order["mfe"]}


async def test_partial_closes_are_separate_events(app: RunningApp, account: AccountClient) -> None:
    harness = MarketHarness(app, account)
    order = await harness.end(await harness.accept(LADDER, "fill_after=0s close_after=0s outcome=take_profit"))
    history = await _list_events(account, order["id"])
    first, second, last = (event["data"] for event in history[2:])
    assert (first["status"], first["remaining_quantity"], first["pnl"]) == ("executed", "0.6667", None)
    assert (second["status"], second["remaining_quantity"]) == ("executed", "0.3334")
    assert last == order
    assert [part["price"] for part in order["closes"]] == ["1.0870", "1.0880", "1.0890"]
    assert (order["close_price"], order["close_reason"]) == ("1.0890", "take_profit")
    assert (order["pnl"], order["pnl_price"], order["simulate"]) == (
        "0.00200010",
        "0.002000",
        history[0]["data"]["simulate"],
    )


async def test_entry_that_waits_too_long_expires(app: RunningApp, account: AccountClient) -> None:
    harness = MarketHarness(app, account, timedelta(milliseconds=250), speed="1")
    order_id = await harness.accept(FAR)
    pending = await account.get_order(order_id)
    waits = _parse_time(pending["expires_at"]) - _parse_time(pending["created_at"])
    assert waits == timedelta(milliseconds=250)
    order = await harness.end(order_id)
    assert order["status"] == "expired"
    assert [event["type"] for event in await _list_events(account, order_id)] == ["order.pending", "order.expired"]


async def test_commission_is_stored_and_deducted(app: RunningApp, account: AccountClient) -> None:
    harness = MarketHarness(app, account, commission_bp="2", commission_per_unit="0.0001")
    order = await harness.end(await harness.accept(FAR, "fill_after=0s close_after=0s outcome=take_profit"))
    # 0.0002 for two sides of one unit, and 0.02 % of 1.0860 and of 1.0890.
    assert (Decimal(order["commission"]), Decimal(order["pnl"])) == (Decimal("0.000635"), Decimal("0.002365"))
    assert (order["pnl_price"], order["r_multiple"]) == ("0.0030", "3.0000")
    assert (await _list_events(account, order["id"]))[-1]["data"] == order
