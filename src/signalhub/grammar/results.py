"""Results of the grammar: a parsed signal or a refused text, and the explanation of either.

Positions refer to the text as it was sent. For a `{"signal": "..."}` wrapper they refer to the inner text.
The fields of `Explanation`, `Part` and `Ignored` are the wire format of the parse endpoint.
"""

import msgspec

from signalhub.domain.errors import Notice, Problem
from signalhub.domain.signal import Signal, SignalView


class Part(msgspec.Struct, frozen=True, gc=False):
    """A piece of the text and its meaning. `start` counts characters from 0, `line` and `column` count from 1."""

    kind: str
    line: int
    column: int
    length: int
    start: int
    text: str
    value: str


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A piece of the text that has no effect, and the reason."""

    line: int
    column: int
    length: int
    start: int
    text: str
    reason: str


class ParsedSignal(msgspec.Struct, frozen=True, kw_only=True):
    signal: Signal
    client_id: str | None = None
    simulate: str | None = None
    parts: tuple[Part, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    notes: tuple[str, ...] = ()


class RefusedText(msgspec.Struct, frozen=True):
    """The problems of a text that gives no order: never empty, the main problem first."""

    problems: tuple[Problem, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """All that the grammar knows about a text.

    `adapter` is the name of the format, `info` the signal in one line and `canonical` its canonical text. The caller
    may add `notices`.
    """

    ok: bool
    adapter: str | None
    info: str | None
    signal: SignalView | None
    canonical: str | None
    parts: tuple[Part, ...]
    ignored: tuple[Ignored, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]
    notices: tuple[Notice, ...] | msgspec.UnsetType = msgspec.UNSET
