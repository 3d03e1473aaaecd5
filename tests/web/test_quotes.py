"""The quotes endpoint: prices and candles of the mock market."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from tests.kit.account_client import AccountClient

PATH = "/api/v1/quotes/EURUSD"
NOON = "2026-01-01T12:00:00Z"


def _prices(candle: dict[str, Any]) -> list[Decimal]:
    return [Decimal(candle[name]) for name in ("low", "open", "close", "high")]


async def test_quote_has_bid_ask_and_candles(account: AccountClient) -> None:
    quote = await account.get(PATH)
    assert (quote["symbol"], quote["kind"], quote["currency"]) == ("EURUSD", "forex", "USD")
    assert Decimal("0.7") < Decimal(quote["bid"]) < Decimal(quote["mid"]) < Decimal(quote["ask"]) < Decimal("1.8")
    assert len(quote["candles"]) == 60
    assert quote["candles"][-1]["close"] == quote["mid"]
    starts = [datetime.fromisoformat(candle["at"]) for candle in quote["candles"]]
    assert all(later - earlier == timedelta(minutes=1) for earlier, later in pairwise(starts))
    for candle in quote["candles"]:
        low, open_, close, high = _prices(candle)
        assert low <= min(open_, close) <= max(open_, close) <= high


async def test_quote_at_time_is_deterministic(account: AccountClient, other_account: AccountClient) -> None:
    quote = await account.get(PATH, at=NOON, count=2, interval="1h")
    assert quote == await other_account.get(PATH, at=NOON, count=2, interval="1h")
    assert quote["at"] == "2026-01-01T12:00:00.000000Z"
    assert (await account.get("/api/v1/quotes/eurusd", at=NOON, count=0))["mid"] == quote["mid"]
    assert (await account.get(PATH, at="2026-01-01T12:30:00Z", count=0))["mid"] != quote["mid"]


@pytest.mark.parametrize(
    ("name", "symbol", "kind"),
    [("GOLD", "XAUUSD", "metal"), ("BTCUSDT", "BTCUSDT", "crypto"), ("AAPL", "AAPL", "stock"),
     ("US30", "US30", "index"), ("XTIUSD", "XTIUSD", "energy"), ("USDJPY", "USDJPY", "forex"),
     ("MYTHING", "MYTHING", "other"), ("NEWCOINUSDT", "NEWCOINUSDT", "crypto")],
)  # fmt: skip
async def test_every_symbol_has_quotes(account: AccountClient, name: str, symbol: str, kind: str) -> None:
    quote = await account.get(f"/api/v1/quotes/{name}", count=3, interval="1d")
    assert (quote["symbol"], quote["kind"]) == (symbol, kind)
    assert 0 < Decimal(quote["bid"]) < Decimal(quote["ask"])


@pytest.mark.parametrize(
    ("path", "status"),
    [(f"{PATH}?count=301", 422), (f"{PATH}?count=-1", 422), (f"{PATH}?interval=2m", 422), (f"{PATH}?at=noon", 422),
     (f"{PATH}?at=2026-01-01T12:00:00", 422), (f"{PATH}?at=0001-01-01T00:00:00Z", 422), ("/api/v1/quotes/!", 404)],
)  # fmt: skip
async def test_invalid_quote_request_is_rejected(account: AccountClient, path: str, status: int) -> None:
    assert (await account.request("GET", path)).status_code == status


async def test_quote_requires_key(account: AccountClient) -> None:
    assert (await account.http.get(PATH)).status_code == 401
