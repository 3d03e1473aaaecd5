"""The one way through the grammar, for the webhook and for people who ask why: body, adapter, draft, verdict."""

import msgspec

from signalhub.domain.errors import Problem
from signalhub.domain.signal import Signal, describe_signal, to_signal_view
from signalhub.grammar import fast_path
from signalhub.grammar.body import MAX_BODY_BYTES, decode_body
from signalhub.grammar.explanation import build_ignored, build_parts, to_canonical_text
from signalhub.grammar.formats import FORMATS
from signalhub.grammar.parsed_fields import ParsedFields
from signalhub.grammar.results import Explanation, ParsedSignal, RefusedText
from signalhub.grammar.validate import validate_signal


class _ParseResult(msgspec.Struct, frozen=True):
    """How far the text was understood, whether or not a signal came of it."""

    format_name: str | None
    fields: ParsedFields | None
    signal: Signal | None
    problems: tuple[Problem, ...]


def _parse_raw(raw: bytes) -> _ParseResult:
    body = decode_body(raw)
    if isinstance(body, tuple):
        return _ParseResult(None, None, None, body)
    adapter = next(adapter for adapter in FORMATS if adapter.matches(body))
    draft = adapter.parse(body)
    draft.client_ids += body.client_ids
    draft.simulations += body.simulations
    signal = validate_signal(draft)
    return _ParseResult(adapter.name, draft, signal, tuple(draft.problems))


def parse(raw: bytes) -> ParsedSignal | RefusedText:
    """Read a signal. Total: any bytes give a result, none an exception."""
    return _try_fast_path(raw) or parse_slow_path(raw)


def _try_fast_path(raw: bytes) -> ParsedSignal | None:
    # The cap comes first: nothing here may look at more than a signal can be long.
    if len(raw) > MAX_BODY_BYTES or not raw.isascii():
        return None
    return fast_path.parse_base_form(raw.decode("ascii"))


def parse_slow_path(raw: bytes) -> ParsedSignal | RefusedText:
    """The same without the short cut for the base form."""
    reading = _parse_raw(raw)
    if reading.signal is None or reading.fields is None:
        return RefusedText(reading.problems)
    draft = reading.fields
    return ParsedSignal(
        signal=reading.signal,
        client_id=draft.client_ids[0].value if draft.client_ids else None,
        simulate=draft.simulations[0].value if draft.simulations else None,
        parts=build_parts(draft),
        ignored=build_ignored(draft),
        notes=tuple(note.value for note in draft.notes),
    )


def explain(raw: bytes) -> Explanation:
    """All there is to say about a text: what was understood, what was left out, what is wrong, how to write it."""
    reading = _parse_raw(raw)
    draft, signal = reading.fields, reading.signal
    return Explanation(
        ok=signal is not None,
        adapter=reading.format_name,
        info=None if signal is None else describe_signal(signal),
        signal=None if signal is None else to_signal_view(signal),
        canonical=None if signal is None else to_canonical_text(signal),
        parts=() if draft is None else build_parts(draft),
        ignored=() if draft is None else build_ignored(draft),
        notes=() if draft is None else tuple(note.value for note in draft.notes),
        problems=() if signal is not None else reading.problems,
    )
