"""Analytics by symbol, source and day."""

from typing import Any

from signalhub.brokers.mock.broker import MockBroker
from signalhub.domain.retry import RetryPolicy
from signalhub.services.lifecycle import Lifecycle
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp

EURUSD = "BUY EURUSD @ 1.0860\nSL 1.0850\nTP 1.0890"
GBPUSD = "SELL GBPUSD @ 1.2700\nSL 1.2750\nTP 1.2600"


async def _closed(app: RunningApp, account: AccountClient, text: str, outcome: str) -> None:
    sent = await account.send_signal(f"{text}\n#sim outcome={outcome} fill_after=0s close_after=0s")
    lifecycle = Lifecycle(app.services.engine, MockBroker({}), RetryPolicy(5, 0.01, 0.02), lease_s=0.5)

    async def is_closed() -> bool:
        await lifecycle.advance([sent["order_id"]])
        return bool((await account.get_order(sent["order_id"]))["status"] == "closed")

    await wait_until(is_closed)


async def _performance(account: AccountClient) -> dict[str, list[Any]]:
    performance: dict[str, list[Any]] = (await account.get("/api/v1/analytics"))["performance"]
    return performance


async def test_account_without_orders_has_no_performance(account: AccountClient) -> None:
    assert await _performance(account) == {"symbol": [], "credential": [], "day": []}


async def test_performance_of_symbol_source_and_day_is_in_r(
    app: RunningApp, account: AccountClient, other_account: AccountClient
) -> None:
    for outcome in ("take_profit", "stop_loss", "stop_loss", "take_profit"):
        await _closed(app, account, EURUSD, outcome)
    await _closed(app, account, GBPUSD, "take_profit")
    performance = await _performance(account)
    eurusd, gbpusd = performance["symbol"]
    assert eurusd == {
        "name": "EURUSD", "closed": 4, "wins": 2, "win_rate": "0.5000",
        "expectancy": "1.0000", "profit_factor": "3.0000", "drawdown": "2.0000",
    }  # fmt: skip
    assert (gbpusd["expectancy"], gbpusd["profit_factor"], gbpusd["drawdown"]) == ("2.0000", None, "0.0000")
    (source,), (day,) = performance["credential"], performance["day"]
    assert account.api_key.split("_")[1] in source["name"]
    assert day["name"] == (await account.get("/api/v1/orders"))["items"][0]["closed_at"][:10]
    assert source | {"name": ""} == day | {"name": ""}
    assert (day["closed"], day["expectancy"], day["profit_factor"]) == (5, "1.2000", "4.0000")
    assert (await _performance(other_account))["symbol"] == []
