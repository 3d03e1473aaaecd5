"""What was understood, piece by piece and in the order of the text."""

from collections.abc import Iterator

from signalhub.domain.signal import plain
from signalhub.grammar.draft import Draft, Range
from signalhub.grammar.numbers import Number
from signalhub.grammar.results import Ignored, Part

Row = tuple[int, int, str, str]
"""Start, end, kind and value of a part."""


def parts(draft: Draft) -> tuple[Part, ...]:
    raw, starts = draft.text.raw, draft.text.line_starts
    found, line = [], 1
    for start, end, kind, value in sorted([*_words(draft), *_prices(draft)]):
        while line < len(starts) and starts[line] <= start:
            line += 1
        found.append(Part(kind, line, start - starts[line - 1] + 1, end - start, start, raw[start:end], value))
    return tuple(found)


def ignored(draft: Draft) -> tuple[Ignored, ...]:
    return tuple([draft.text.ignored(found.start, found.end, found.value) for found in draft.ignored])


def _words(draft: Draft) -> Iterator[Row]:
    for side in draft.sides:
        yield side.start, side.end, "side", side.value.value
    for name in draft.names:
        yield name.start, name.end, "symbol", name.name
    for order_type in draft.order_types:
        yield order_type.start, order_type.end, "order_type", order_type.value.value
    for kind, texts in (("note", draft.notes), ("client_id", draft.client_ids), ("simulate", draft.simulations)):
        for text in texts:
            yield text.start, text.end, kind, text.value


def _prices(draft: Draft) -> Iterator[Row]:
    for entry in draft.entries:
        yield from _ends(entry)
    for kind, numbers in (
        ("stop_loss", draft.stops),
        ("take_profit", draft.targets),
        ("quantity", draft.quantities),
    ):
        for number in numbers:
            yield _row(kind, number)


def _ends(entry: Range) -> Iterator[Row]:
    """The low end is the entry, whichever was written first."""
    first, second = entry.first, entry.second
    if second is None or first.value is None or second.value is None or first.value == second.value:
        yield _row("entry", first)
        return
    low, high = (first, second) if first.value < second.value else (second, first)
    yield _row("entry", low)
    yield _row("entry_high", high)


def _row(kind: str, number: Number) -> Row:
    value = number.text if number.value is None else plain(number.value)
    return number.start, number.end, kind, value
