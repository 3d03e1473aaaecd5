"""JSON with places: every value knows where it stands, every number keeps its digits, every repeated key is seen.

The standard decoder gives none of the three, and on deep nesting it raises RecursionError.
"""

import json
import re
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 16

_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*(?:([][{},:])
    |("(?:[^"\\\x00-\x1f]|\\.)*")
    |(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.+-])|NaN|-?Infinity)
    |(true|false|null)
    |())""",
    re.VERBOSE | re.ASCII,
)
_WHITESPACE: Final = " \t\r\n"


class MalformedJsonError(ValueError):  # it is no error of ours
    """The text is no JSON; `args[0]` is the place where it stops being it."""


class JsonNode(msgspec.Struct, frozen=True, gc=False):
    """A value: `text` is the string, the digits of the number, or `true`, `false`, `null`."""

    kind: str
    start: int
    end: int
    text: str = ""
    members: tuple[tuple[str, "JsonNode"], ...] = ()
    items: tuple["JsonNode", ...] = ()
    # Where the key of this member stands, for those who must point at it.
    key_span: tuple[int, int] = (0, 0)


def parse_json(text: str) -> JsonNode:
    reader = _JsonParser(text)
    node = reader.parse_value(0)
    if text[reader.pos :].strip(_WHITESPACE):
        raise MalformedJsonError(reader.pos)
    return node


class _JsonParser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0

    def _next_token(self) -> tuple[int, re.Match[str]]:
        match = _TOKEN.match(self.text, self.pos)
        if match is None or not match.lastindex or match.lastindex == 5:  # noqa: PLR2004
            raise MalformedJsonError(self.pos)
        self.pos = match.end()
        return match.lastindex, match

    def parse_value(self, depth: int, key_span: tuple[int, int] = (0, 0)) -> JsonNode:
        index, match = self._next_token()
        start, end = match.span(index)
        piece = match[index]
        if index == 1:
            if depth >= MAX_DEPTH or piece not in "{[":
                raise MalformedJsonError(start)
            return (
                self._parse_object(start, depth, key_span)
                if piece == "{"
                else self._parse_array(start, depth, key_span)
            )
        kind = ("string", "number", "literal")[index - 2]
        return JsonNode(kind, start, end, _unquote(piece, start) if kind == "string" else piece, key_span=key_span)

    def _parse_object(self, start: int, depth: int, key_span: tuple[int, int]) -> JsonNode:
        members: list[tuple[str, JsonNode]] = []
        while not self._consume_closing("}", empty=not members):
            index, match = self._next_token()
            if index != 2:  # noqa: PLR2004
                raise MalformedJsonError(match.start(index))
            name = _unquote(match[2], match.start(2))
            self._expect_mark(":")
            members.append((name, self.parse_value(depth + 1, match.span(2))))
        return JsonNode("object", start, self.pos, members=tuple(members), key_span=key_span)

    def _parse_array(self, start: int, depth: int, key_span: tuple[int, int]) -> JsonNode:
        items: list[JsonNode] = []
        while not self._consume_closing("]", empty=not items):
            items.append(self.parse_value(depth + 1))
        return JsonNode("array", start, self.pos, items=tuple(items), key_span=key_span)

    def _consume_closing(self, bracket: str, *, empty: bool) -> bool:
        """Whether the container ends here; if not, stand behind the comma that must be here."""
        before = self.pos
        _, match = self._next_token()
        if match[1] == bracket:
            return True
        if empty:
            self.pos = before
        elif match[1] != ",":
            raise MalformedJsonError(before)
        return False

    def _expect_mark(self, mark: str) -> None:
        _, match = self._next_token()
        if match[1] != mark:
            raise MalformedJsonError(match.start())


def _unquote(piece: str, start: int) -> str:
    try:
        text: Any = json.loads(piece)
    except ValueError:
        raise MalformedJsonError(start) from None
    return str(text)
