"""Parse JSON into a tree in which every value knows its position.

Numbers keep their digits and repeated keys stay visible. The standard decoder offers neither, and it raises
RecursionError on deep nesting.
"""

import json
import re
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 16

# Groups: 1 punctuation, 2 string, 3 number, 4 literal, 5 empty where none of these stands.
_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*(?:([][{},:])
    |("(?:[^"\\\x00-\x1f]|\\.)*")
    |(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.+-])|NaN|-?Infinity)
    |(true|false|null)
    |())""",
    re.VERBOSE | re.ASCII,
)
_PUNCTUATION, _STRING, _NONE = 1, 2, 5
_SCALAR_KINDS: Final = {2: "string", 3: "number", 4: "literal"}


class MalformedJsonError(ValueError):
    """The text is not JSON; `args[0]` is the index of the first character that is wrong."""


class JsonNode(msgspec.Struct, frozen=True, gc=False):
    """A value. `text` is the decoded string, the digits of the number, or `true`, `false`, `null`.

    `kind` is `object`, `array`, `string`, `number` or `literal`. `key_span` is where the key of a member stands.
    """

    kind: str
    start: int
    end: int
    text: str = ""
    members: tuple[tuple[str, "JsonNode"], ...] = ()
    items: tuple["JsonNode", ...] = ()
    key_span: tuple[int, int] = (0, 0)


def parse_json(text: str) -> JsonNode:
    """Parse one JSON document. Raises MalformedJsonError, also for nesting deeper than MAX_DEPTH."""
    parser = _JsonParser(text)
    node = parser.parse_value(0)
    if text[parser.pos :].strip(" \t\r\n"):
        raise MalformedJsonError(parser.pos)
    return node


class _JsonParser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0

    def next_token(self) -> tuple[int, re.Match[str]]:
        """Return the group of the next token and its match, and move past it."""
        match = _TOKEN.match(self.text, self.pos)
        if match is None or not match.lastindex or match.lastindex == _NONE:
            raise MalformedJsonError(self.pos)
        self.pos = match.end()
        return match.lastindex, match

    def parse_value(self, depth: int, key_span: tuple[int, int] = (0, 0)) -> JsonNode:
        group, match = self.next_token()
        start, end = match.span(group)
        if group == _PUNCTUATION:
            if depth >= MAX_DEPTH or match[1] not in "{[":
                raise MalformedJsonError(start)
            parse_container = self.parse_object if match[1] == "{" else self.parse_array
            return parse_container(start, depth, key_span)
        text = decode_string(match[2], start) if group == _STRING else match[group]
        return JsonNode(_SCALAR_KINDS[group], start, end, text, key_span=key_span)

    def parse_object(self, start: int, depth: int, key_span: tuple[int, int]) -> JsonNode:
        members: list[tuple[str, JsonNode]] = []
        while not self.consume_closing("}", is_empty=not members):
            group, match = self.next_token()
            if group != _STRING:
                raise MalformedJsonError(match.start(group))
            name = decode_string(match[2], match.start(2))
            _, colon = self.next_token()
            if colon[1] != ":":
                raise MalformedJsonError(colon.start())
            members.append((name, self.parse_value(depth + 1, match.span(2))))
        return JsonNode("object", start, self.pos, members=tuple(members), key_span=key_span)

    def parse_array(self, start: int, depth: int, key_span: tuple[int, int]) -> JsonNode:
        items: list[JsonNode] = []
        while not self.consume_closing("]", is_empty=not items):
            items.append(self.parse_value(depth + 1))
        return JsonNode("array", start, self.pos, items=tuple(items), key_span=key_span)

    def consume_closing(self, bracket: str, *, is_empty: bool) -> bool:
        """Consume the closing bracket and return True, or consume the comma that must precede another element."""
        before = self.pos
        _, match = self.next_token()
        if match[1] == bracket:
            return True
        if is_empty:
            self.pos = before  # no comma precedes the first element
        elif match[1] != ",":
            raise MalformedJsonError(before)
        return False


def decode_string(quoted: str, start: int) -> str:
    try:
        text: Any = json.loads(quoted)
    except ValueError:  # an escape that the pattern lets pass, such as `\x`
        raise MalformedJsonError(start) from None
    return str(text)
