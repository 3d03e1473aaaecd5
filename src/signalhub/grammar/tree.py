"""JSON with places: every value knows where it stands, every number keeps its digits, every repeated key is seen.

The standard decoder gives none of the three, and on deep nesting it raises RecursionError.
"""

import json
import re
from typing import Any, Final

import msgspec

DEEPEST: Final = 16

_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*(?:([][{},:])
    |("(?:[^"\\\x00-\x1f]|\\.)*")
    |(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.+-])|NaN|-?Infinity)
    |(true|false|null)
    |())""",
    re.VERBOSE | re.ASCII,
)
_SPACE: Final = " \t\r\n"


class Malformed(ValueError):  # noqa: N818  # it is no error of ours
    """The text is no JSON; `args[0]` is the place where it stops being it."""


class Node(msgspec.Struct, frozen=True, gc=False):
    """A value: `text` is the string, the digits of the number, or `true`, `false`, `null`."""

    kind: str
    start: int
    end: int
    text: str = ""
    members: tuple[tuple[str, "Node"], ...] = ()
    items: tuple["Node", ...] = ()
    # Where the key of this member stands, for those who must point at it.
    key: tuple[int, int] = (0, 0)


def parse(text: str) -> Node:
    reader = _Reader(text)
    node = reader.value(0)
    if text[reader.at :].strip(_SPACE):
        raise Malformed(reader.at)
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def _next(self) -> tuple[int, re.Match[str]]:
        match = _TOKEN.match(self.text, self.at)
        if match is None or not match.lastindex or match.lastindex == 5:  # noqa: PLR2004
            raise Malformed(self.at)
        self.at = match.end()
        return match.lastindex, match

    def value(self, depth: int, key: tuple[int, int] = (0, 0)) -> Node:
        index, match = self._next()
        start, end = match.span(index)
        piece = match[index]
        if index == 1:
            if depth >= DEEPEST or piece not in "{[":
                raise Malformed(start)
            return self._object(start, depth, key) if piece == "{" else self._array(start, depth, key)
        kind = ("string", "number", "literal")[index - 2]
        return Node(kind, start, end, _unquoted(piece, start) if kind == "string" else piece, key=key)

    def _object(self, start: int, depth: int, key: tuple[int, int]) -> Node:
        members: list[tuple[str, Node]] = []
        while not self._closes("}", empty=not members):
            index, match = self._next()
            if index != 2:  # noqa: PLR2004
                raise Malformed(match.start(index))
            name = _unquoted(match[2], match.start(2))
            self._expect(":")
            members.append((name, self.value(depth + 1, match.span(2))))
        return Node("object", start, self.at, members=tuple(members), key=key)

    def _array(self, start: int, depth: int, key: tuple[int, int]) -> Node:
        items: list[Node] = []
        while not self._closes("]", empty=not items):
            items.append(self.value(depth + 1))
        return Node("array", start, self.at, items=tuple(items), key=key)

    def _closes(self, bracket: str, *, empty: bool) -> bool:
        """Whether the container ends here; if not, stand behind the comma that must be here."""
        before = self.at
        _, match = self._next()
        if match[1] == bracket:
            return True
        if empty:
            self.at = before
        elif match[1] != ",":
            raise Malformed(before)
        return False

    def _expect(self, mark: str) -> None:
        _, match = self._next()
        if match[1] != mark:
            raise Malformed(match.start())


def _unquoted(piece: str, start: int) -> str:
    try:
        text: Any = json.loads(piece)
    except ValueError:
        raise Malformed(start) from None
    return str(text)
