"""Write a signal as its canonical text, and list what the parser read and what it left out."""

from collections.abc import Iterator
from operator import attrgetter
from string import ascii_uppercase

from signalhub.domain.instruments import INSTRUMENTS_BY_NAME
from signalhub.domain.signal import OrderType, Signal, format_decimal
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import ParsedFields
from signalhub.grammar.results import Ignored, Part
from signalhub.grammar.vocabulary import PHRASE_TRIE


def to_canonical_text(signal: Signal) -> str:
    """Return the shortest text that parses to the same signal."""
    # 1. The header. A price makes a LIMIT order already, so only the other types need a word.
    words = [signal.side.value]
    if signal.order_type is OrderType.STOP:
        words.append("STOP")
    words.append(escape_symbol(signal.symbol))
    if signal.order_type is OrderType.MARKET and signal.entry is not None:
        words.append("NOW")
    if signal.entry is not None:
        words.append(f"@{format_decimal(signal.entry)}")
    if signal.entry_high is not None:
        words[-1] += f"-{format_decimal(signal.entry_high)}"
    # 2. One line for each level.
    lines = [" ".join(words), f"SL {format_decimal(signal.stop_loss)}"]
    lines += [f"TP {format_decimal(price)}" for price in signal.take_profits]
    # 3. The quantity. `1.00` equals the default, but its digits would be lost.
    if signal.quantity != 1 or str(signal.quantity) != "1":
        lines.append(f"QTY {format_decimal(signal.quantity)}")
    return "\n".join(lines)


def escape_symbol(name: str) -> str:
    """Put a dollar before a name that would be read as a word of the grammar, such as COIN or A1."""
    leading_letters = name[: len(name) - len(name.lstrip(ascii_uppercase))]
    return f"${name}" if leading_letters in PHRASE_TRIE and name not in INSTRUMENTS_BY_NAME else name


PartRow = tuple[int, int, str, str]
"""Start, end, kind and value of a part."""


def build_parts(fields: ParsedFields) -> tuple[Part, ...]:
    """Return the pieces of the text that the signal was made of, in the order of the text."""
    raw, starts = fields.source.raw, fields.source.line_starts
    parts, line = [], 1
    # The rows are sorted, so the line only moves forward and needs no search.
    for start, end, kind, value in sorted([*_word_rows(fields), *_price_rows(fields)]):
        while line < len(starts) and starts[line] <= start:
            line += 1
        parts.append(Part(kind, line, start - starts[line - 1] + 1, end - start, start, raw[start:end], value))
    return tuple(parts)


def build_ignored(fields: ParsedFields) -> tuple[Ignored, ...]:
    build = fields.source.build_ignored
    return tuple([build(ignored.start, ignored.end, ignored.value) for ignored in fields.ignored])


def build_notes(fields: ParsedFields) -> tuple[str, ...]:
    """Return each note once, however often the text says it."""
    return tuple(dict.fromkeys(note.value for note in fields.notes))


def _word_rows(fields: ParsedFields) -> Iterator[PartRow]:
    for side in fields.sides:
        yield side.start, side.end, "side", side.value.value
    # A pair and its first half may both have been matched: `XAU/USD` is one piece of the text.
    longest_symbols = {symbol.start: symbol for symbol in sorted(fields.symbols, key=attrgetter("end"))}
    for symbol in longest_symbols.values():
        yield symbol.start, symbol.end, "symbol", symbol.name
    for order_type in fields.order_types:
        yield order_type.start, order_type.end, "order_type", order_type.value.value
    for kind, texts in (("note", fields.notes), ("client_id", fields.client_ids), ("simulate", fields.simulations)):
        for text in texts:
            yield text.start, text.end, kind, text.value


def _price_rows(fields: ParsedFields) -> Iterator[PartRow]:
    for entry in fields.entries:
        low, high = entry.ends
        yield _number_row("entry", low)
        if high is not None:
            yield _number_row("entry_high", high)
    for kind, numbers in (
        ("stop_loss", fields.stop_losses),
        ("take_profit", fields.take_profits),
        ("quantity", fields.quantities),
    ):
        for number in numbers:
            yield _number_row(kind, number)


def _number_row(kind: str, number: Number) -> PartRow:
    # A number that was never resolved has no value, and is shown as written.
    value = number.text if number.value is None else format_decimal(number.value)
    return number.start, number.end, kind, value
