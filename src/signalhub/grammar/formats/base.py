"""What an adapter is: a name, a look at the body, and a way to read it."""

from collections.abc import Callable

import msgspec

from signalhub.grammar.body import Body
from signalhub.grammar.parsed_fields import ParsedFields


class Format(msgspec.Struct, frozen=True):
    """`claims` must be cheap and must not be wrong about a body of another format."""

    name: str
    matches: Callable[[Body], bool]
    parse: Callable[[Body], ParsedFields]
