"""The canonical text of a signal, which is also the shortest lesson in what to write."""

from collections.abc import Iterator

from signalhub.domain.signal import OrderType, Signal, plain


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


def _header(signal: Signal) -> str:
    """A plain price is a LIMIT already, so only what differs from it needs a word."""
    words = [signal.side.value]
    if signal.order_type is OrderType.STOP:
        words.append("STOP")
    words.append(signal.symbol)
    if signal.order_type is OrderType.MARKET and signal.entry is not None:
        words.append("NOW")
    if signal.entry is not None:
        words.append(f"@{plain(signal.entry)}")
    if signal.entry_high is not None:
        words[-1] += f"-{plain(signal.entry_high)}"
    return " ".join(words)
