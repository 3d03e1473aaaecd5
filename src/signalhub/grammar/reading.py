"""The one way through the grammar, for the webhook and for people who ask why: body, adapter, draft, verdict."""

import msgspec

from signalhub.domain.errors import Problem
from signalhub.domain.signal import Signal, describe, view
from signalhub.grammar import fast
from signalhub.grammar.adapters import ADAPTERS
from signalhub.grammar.body import LARGEST, open_body
from signalhub.grammar.canonical import rewrite
from signalhub.grammar.draft import Draft
from signalhub.grammar.judge import judge
from signalhub.grammar.parts import ignored, parts
from signalhub.grammar.results import Explanation, Refused, Understood


class _Reading(msgspec.Struct, frozen=True):
    """How far the text was understood, whether or not a signal came of it."""

    adapter: str | None
    draft: Draft | None
    signal: Signal | None
    problems: tuple[Problem, ...]


def _read(raw: bytes) -> _Reading:
    body = open_body(raw)
    if isinstance(body, tuple):
        return _Reading(None, None, None, body)
    adapter = next(adapter for adapter in ADAPTERS if adapter.claims(body))
    draft = adapter.read(body)
    draft.client_ids += body.client_ids
    draft.simulations += body.simulations
    signal = judge(draft)
    return _Reading(adapter.name, draft, signal, tuple(draft.problems))


def parse(raw: bytes) -> Understood | Refused:
    """Read a signal. Total: any bytes give a result, none an exception."""
    return _base_form(raw) or parse_generally(raw)


def _base_form(raw: bytes) -> Understood | None:
    # The cap comes first: nothing here may look at more than a signal can be long.
    if len(raw) > LARGEST or not raw.isascii():
        return None
    return fast.read(raw.decode("ascii"))


def parse_generally(raw: bytes) -> Understood | Refused:
    """The same without the short cut for the base form."""
    reading = _read(raw)
    if reading.signal is None or reading.draft is None:
        return Refused(reading.problems)
    draft, name = reading.draft, reading.draft.names[0]
    return Understood(
        signal=reading.signal,
        written_symbol=name.written,
        known_symbol=name.instrument is not None,
        client_id=draft.client_ids[0].value if draft.client_ids else None,
        simulate=draft.simulations[0].value if draft.simulations else None,
        parts=parts(draft),
        ignored=ignored(draft),
        notes=tuple(note.value for note in draft.notes),
    )


def explain(raw: bytes) -> Explanation:
    """All there is to say about a text: what was understood, what was left out, what is wrong, how to write it."""
    reading = _read(raw)
    draft, signal = reading.draft, reading.signal
    return Explanation(
        ok=signal is not None,
        adapter=reading.adapter,
        info=None if signal is None else describe(signal),
        signal=None if signal is None else view(signal),
        canonical=None if signal is None else rewrite(signal),
        parts=() if draft is None else parts(draft),
        ignored=() if draft is None else ignored(draft),
        notes=() if draft is None else tuple(note.value for note in draft.notes),
        problems=() if signal is not None else reading.problems,
    )
