"""Signal texts for tests."""

from typing import Final

BUY: Final = "BUY EURUSD @ 1.0860\nSL 1.0850\nTP 1.0890"
SELL: Final = "SELL GBPUSD @ 1.2700\nSL 1.2750\nTP 1.2600"
STOP_ON_WRONG_SIDE: Final = "BUY EURUSD @ 1.0860\nSL 1.0890\nTP 1.0900"
MISSING_STOP: Final = "BUY EURUSD @ 1.0860\nTP 1.0890"


def make_buy_text(number: int) -> str:
    """Return a BUY text that is different for each number."""
    return f"BUY EURUSD @ 1.{20_000 + number:05d}\nSL 1.1\nTP 1.4"
