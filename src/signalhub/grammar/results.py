"""What the grammar answers: a signal understood or a text refused, and the explanation of either.

Positions are those of the text as it was sent. For a `{"signal": "..."}` wrapper they are those of the inner text.
"""

import msgspec

from signalhub.domain.errors import Problem
from signalhub.domain.signal import Signal, SignalView


class Part(msgspec.Struct, frozen=True, gc=False):
    """One piece of the text and what it was read as. `start` counts characters from 0, `line` and `column` from 1."""

    kind: str
    line: int
    column: int
    length: int
    start: int
    text: str
    value: str


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A piece of the text that changes nothing, and why it does not."""

    line: int
    column: int
    length: int
    start: int
    text: str
    reason: str


class ParsedSignal(msgspec.Struct, frozen=True, kw_only=True):
    """`written_symbol` is as the sender wrote it; `known_symbol` says whether the instrument table has it."""

    signal: Signal
    written_symbol: str
    known_symbol: bool
    client_id: str | None = None
    simulate: str | None = None
    parts: tuple[Part, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    notes: tuple[str, ...] = ()


class RefusedText(msgspec.Struct, frozen=True):
    """Why there is no order. Never empty; the first problem is the main one."""

    problems: tuple[Problem, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the grammar has to say about one text. `info` is `signal` in a line, `canonical` its rewrite."""

    ok: bool
    adapter: str | None
    info: str | None
    signal: SignalView | None
    canonical: str | None
    parts: tuple[Part, ...]
    ignored: tuple[Ignored, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]
