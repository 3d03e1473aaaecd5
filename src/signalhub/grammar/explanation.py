"""The canonical text of a signal, which is also the shortest lesson in what to write.

What was understood, piece by piece and in the order of the text.
"""

from collections.abc import Iterator
from string import ascii_uppercase

from signalhub.domain.instruments import INSTRUMENTS_BY_NAME
from signalhub.domain.signal import OrderType, Signal, format_decimal
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import EntryRange, ParsedFields
from signalhub.grammar.results import Ignored, Part
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


PartRow = tuple[int, int, str, str]
"""Start, end, kind and value of a part."""


def build_parts(fields: ParsedFields) -> tuple[Part, ...]:
    raw, starts = fields.source.raw, fields.source.line_starts
    found, line = [], 1
    for start, end, kind, value in sorted([*_word_rows(fields), *_price_rows(fields)]):
        while line < len(starts) and starts[line] <= start:
            line += 1
        found.append(Part(kind, line, start - starts[line - 1] + 1, end - start, start, raw[start:end], value))
    return tuple(found)


def build_ignored(fields: ParsedFields) -> tuple[Ignored, ...]:
    return tuple([fields.source.build_ignored(found.start, found.end, found.value) for found in fields.ignored])


def _word_rows(fields: ParsedFields) -> Iterator[PartRow]:
    for side in fields.sides:
        yield side.start, side.end, "side", side.value.value
    for name in fields.symbols:
        yield name.start, name.end, "symbol", name.name
    for order_type in fields.order_types:
        yield order_type.start, order_type.end, "order_type", order_type.value.value
    for kind, texts in (("note", fields.notes), ("client_id", fields.client_ids), ("simulate", fields.simulations)):
        for text in texts:
            yield text.start, text.end, kind, text.value


def _price_rows(fields: ParsedFields) -> Iterator[PartRow]:
    for entry in fields.entries:
        yield from _entry_rows(entry)
    for kind, numbers in (
        ("stop_loss", fields.stop_losses),
        ("take_profit", fields.take_profits),
        ("quantity", fields.quantities),
    ):
        for number in numbers:
            yield _number_row(kind, number)


def _entry_rows(entry: EntryRange) -> Iterator[PartRow]:
    """The low end is the entry, whichever was written first."""
    first, second = entry.first, entry.second
    if second is None or first.value is None or second.value is None or first.value == second.value:
        yield _number_row("entry", first)
        return
    low, high = (first, second) if first.value < second.value else (second, first)
    yield _number_row("entry", low)
    yield _number_row("entry_high", high)


def _number_row(kind: str, number: Number) -> PartRow:
    value = number.text if number.value is None else format_decimal(number.value)
    return number.start, number.end, kind, value
