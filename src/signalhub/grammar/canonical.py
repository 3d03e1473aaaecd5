"""The canonical text of a signal, which is also the shortest lesson in what to write."""

from collections.abc import Iterator
from string import ascii_uppercase

from signalhub.domain.signal import OrderType, Signal, format_decimal
from signalhub.grammar.instruments import INSTRUMENTS_BY_NAME
from signalhub.grammar.vocabulary import PHRASE_TRIE


def to_canonical_text(signal: Signal) -> str:
    """A text that parses to the same signal."""
    return "\n".join(_canonical_lines(signal))


def _canonical_lines(signal: Signal) -> Iterator[str]:
    yield _format_header(signal)
    yield f"SL {format_decimal(signal.stop_loss)}"
    for price in signal.take_profits:
        yield f"TP {format_decimal(price)}"
    if signal.quantity != 1 or str(signal.quantity) != "1":
        yield f"QTY {format_decimal(signal.quantity)}"


def _escape_symbol(name: str) -> str:
    """A name that begins as a word of the grammar does, such as COIN or A1, is told from it by a dollar."""
    begins = name[: len(name) - len(name.lstrip(ascii_uppercase))]
    return f"${name}" if begins in PHRASE_TRIE and name not in INSTRUMENTS_BY_NAME else name


def _format_header(signal: Signal) -> str:
    """A plain price is a LIMIT already, so only what differs from it needs a word."""
    words = [signal.side.value]
    if signal.order_type is OrderType.STOP:
        words.append("STOP")
    words.append(_escape_symbol(signal.symbol))
    if signal.order_type is OrderType.MARKET and signal.entry is not None:
        words.append("NOW")
    if signal.entry is not None:
        words.append(f"@{format_decimal(signal.entry)}")
    if signal.entry_high is not None:
        words[-1] += f"-{format_decimal(signal.entry_high)}"
    return " ".join(words)
