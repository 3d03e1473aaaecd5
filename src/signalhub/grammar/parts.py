"""What was understood, piece by piece and in the order of the text."""

from collections.abc import Iterator

from signalhub.domain.signal import plain
from signalhub.grammar.draft import Draft
from signalhub.grammar.numbers import Number
from signalhub.grammar.results import Ignored, Part


def parts(draft: Draft) -> tuple[Part, ...]:
    return tuple(sorted(_parts(draft), key=lambda part: part.start))


def ignored(draft: Draft) -> tuple[Ignored, ...]:
    return tuple(draft.text.ignored(found.start, found.end, found.value) for found in draft.ignored)


def _parts(draft: Draft) -> Iterator[Part]:
    yield from _words(draft)
    for entry in draft.entries:
        yield from _ends(draft, entry.first, entry.second)
    for kind, numbers in (
        ("stop_loss", draft.stops),
        ("take_profit", draft.targets),
        ("quantity", draft.quantities),
    ):
        for number in numbers:
            yield _number(draft, kind, number)


def _words(draft: Draft) -> Iterator[Part]:
    part = draft.text.part
    for side in draft.sides:
        yield part("side", side.start, side.end, side.value.value)
    for name in draft.names:
        yield part("symbol", name.start, name.end, name.name)
    for order_type in draft.order_types:
        yield part("order_type", order_type.start, order_type.end, order_type.value.value)
    for kind, texts in (("note", draft.notes), ("client_id", draft.client_ids), ("simulate", draft.simulations)):
        for text in texts:
            yield part(kind, text.start, text.end, text.value)


def _ends(draft: Draft, first: Number, second: Number | None) -> Iterator[Part]:
    """The low end is the entry, whichever was written first."""
    if second is None or first.value is None or second.value is None or first.value == second.value:
        yield _number(draft, "entry", first)
        return
    low, high = (first, second) if first.value < second.value else (second, first)
    yield _number(draft, "entry", low)
    yield _number(draft, "entry_high", high)


def _number(draft: Draft, kind: str, number: Number) -> Part:
    value = number.text if number.value is None else plain(number.value)
    return draft.text.part(kind, number.start, number.end, value)
