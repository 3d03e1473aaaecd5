"""Texts that accounts send."""

from typing import Final

BUY: Final = "BUY EURUSD @ 1.0860\nSL 1.0850\nTP 1.0890"
SELL: Final = "SELL GBPUSD @ 1.2700\nSL 1.2750\nTP 1.2600"
STOP_ON_WRONG_SIDE: Final = "BUY EURUSD @ 1.0860\nSL 1.0890\nTP 1.0900"
MISSING_STOP: Final = "BUY EURUSD @ 1.0860\nTP 1.0890"


def make_buy_text(number: int) -> str:
    """A BUY that differs from every other number's."""
    return f"BUY EURUSD @ 1.{20_000 + number:05d}\nSL 1.1\nTP 1.4"
