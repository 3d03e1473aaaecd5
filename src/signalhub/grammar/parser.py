"""Parse a signal for the webhook, or explain to a person what was parsed and why.

Both take the same way: decode the body, let the first format that matches read the fields, validate the fields. For a
text, the format lexes, matches and resolves (`formats.text.parse_with_rules`).
"""

import msgspec

from signalhub.domain.errors import Problem
from signalhub.domain.signal import Signal, describe_signal, to_signal_view
from signalhub.grammar import fast_path
from signalhub.grammar.body import MAX_BODY_BYTES, decode_body
from signalhub.grammar.explanation import build_ignored, build_notes, build_parts, to_canonical_text
from signalhub.grammar.formats import FORMATS
from signalhub.grammar.parsed_fields import ParsedFields
from signalhub.grammar.results import Explanation, ParsedSignal, RefusedText
from signalhub.grammar.validate import validate_signal


class ParsedBody(msgspec.Struct, frozen=True):
    """How far a body was parsed: format and fields are None for a body that cannot be decoded."""

    format_name: str | None
    fields: ParsedFields | None
    signal: Signal | None
    problems: tuple[Problem, ...]


def parse(raw: bytes) -> ParsedSignal | RefusedText:
    """Parse a signal. Any bytes give a result, none an exception."""
    # The size comes first: no step may examine more text than a signal can have.
    if len(raw) <= MAX_BODY_BYTES and raw.isascii():
        result = fast_path.parse_base_form(raw.decode("ascii"))
        if result is not None:
            return result
    return parse_slow_path(raw)


def parse_slow_path(raw: bytes) -> ParsedSignal | RefusedText:
    """Parse a signal without the fast path for the base form."""
    body = parse_body(raw)
    if body.signal is None or body.fields is None:
        return RefusedText(body.problems)
    fields = body.fields
    return ParsedSignal(
        signal=body.signal,
        client_id=fields.client_ids[0].value if fields.client_ids else None,
        simulate=fields.simulations[0].value if fields.simulations else None,
        parts=build_parts(fields),
        ignored=build_ignored(fields),
        notes=build_notes(fields),
    )


def explain(raw: bytes) -> Explanation:
    """Explain a text: what was understood, what was ignored, what is wrong, and how to write it."""
    body = parse_body(raw)
    fields, signal = body.fields, body.signal
    return Explanation(
        ok=signal is not None,
        adapter=body.format_name,
        info=None if signal is None else describe_signal(signal),
        signal=None if signal is None else to_signal_view(signal),
        canonical=None if signal is None else to_canonical_text(signal),
        parts=() if fields is None else build_parts(fields),
        ignored=() if fields is None else build_ignored(fields),
        notes=() if fields is None else build_notes(fields),
        problems=() if signal is not None else body.problems,
    )


def parse_body(raw: bytes) -> ParsedBody:
    # 1. Decode: size, UTF-8, JSON or text, deceptive characters.
    body = decode_body(raw)
    if isinstance(body, tuple):
        return ParsedBody(None, None, None, body)
    # 2. Read the fields. A text is lexed, matched and resolved here.
    format_ = next(format_ for format_ in FORMATS if format_.matches(body))
    fields = format_.parse(body)
    fields.client_ids += body.client_ids
    fields.simulations += body.simulations
    # 3. Validate.
    signal = validate_signal(fields)
    return ParsedBody(format_.name, fields, signal, tuple(fields.problems))
