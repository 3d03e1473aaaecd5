"""A format of signals: its name, a test that recognises it, and its parser."""

from collections.abc import Callable

import msgspec

from signalhub.grammar.body import Body
from signalhub.grammar.parsed_fields import ParsedFields


class Format(msgspec.Struct, frozen=True):
    """`matches` runs for bodies of other formats, too: it must be cheap and must not accept them."""

    name: str
    matches: Callable[[Body], bool]
    parse: Callable[[Body], ParsedFields]
