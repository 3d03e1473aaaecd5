"""The canonical text of a signal, which is also the shortest lesson in what to write."""

from collections.abc import Iterator
from string import ascii_uppercase

from signalhub.domain.signal import OrderType, Signal, plain
from signalhub.grammar.instruments import KNOWN
from signalhub.grammar.vocabulary import MEANINGS


def rewrite(signal: Signal) -> str:
    """A text that parses to the same signal."""
    return "\n".join(_lines(signal))


def _lines(signal: Signal) -> Iterator[str]:
    yield _header(signal)
    yield f"SL {plain(signal.stop_loss)}"
    for price in signal.take_profits:
        yield f"TP {plain(price)}"
    if signal.quantity != 1 or str(signal.quantity) != "1":
        yield f"QTY {plain(signal.quantity)}"


def _symbol(name: str) -> str:
    """A name that begins as a word of the grammar does, such as COIN or A1, is told from it by a dollar."""
    begins = name[: len(name) - len(name.lstrip(ascii_uppercase))]
    return f"${name}" if begins in MEANINGS and name not in KNOWN else name


def _header(signal: Signal) -> str:
    """A plain price is a LIMIT already, so only what differs from it needs a word."""
    words = [signal.side.value]
    if signal.order_type is OrderType.STOP:
        words.append("STOP")
    words.append(_symbol(signal.symbol))
    if signal.order_type is OrderType.MARKET and signal.entry is not None:
        words.append("NOW")
    if signal.entry is not None:
        words.append(f"@{plain(signal.entry)}")
    if signal.entry_high is not None:
        words[-1] += f"-{plain(signal.entry_high)}"
    return " ".join(words)
