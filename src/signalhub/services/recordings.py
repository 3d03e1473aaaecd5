"""Recorded signals, read from a file: texts with their times.

Three forms are told apart by their first character: lines of JSON with `text` and `at`, a page of
`GET /api/v1/signals` (the account's own history), and plain texts with an empty line between two.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

FIRST: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""The time of the first text, where none is said: a Monday."""

APART: Final = timedelta(minutes=1)


class Recorded(msgspec.Struct, frozen=True):
    text: str
    at: datetime


class _Line(msgspec.Struct):
    text: str
    at: datetime | None = None


class _Sent(msgspec.Struct):
    raw: str
    received_at: datetime


class _Page(msgspec.Struct):
    items: list[_Sent]


def read(raw: bytes) -> list[Recorded]:
    """In the order in which they came. Raises ValueError with a sentence."""
    text = raw.decode("utf-8-sig")
    if not text.lstrip().startswith("{"):
        return _spaced(_Line(block) for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")) if block.strip())
    if re.match(r'\s*\{\s*"items"', text):
        page = msgspec.json.decode(raw, type=_Page)
        found = [Recorded(sent.raw, sent.received_at) for sent in page.items]
    else:
        found = _spaced(_line(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())
    return sorted(found, key=lambda one: one.at)


def _line(number: int, line: str) -> _Line:
    try:
        return msgspec.json.decode(line, type=_Line)
    except msgspec.MsgspecError as error:
        raise ValueError(f'Line {number} is to be {{"text": …, "at": …}}: {error}.') from None


def _spaced(lines: Iterable[_Line]) -> list[Recorded]:
    """A text without a time comes a minute after the one before it."""
    found: list[Recorded] = []
    after = FIRST
    for line in lines:
        at = line.at or after
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        found.append(Recorded(line.text, at))
        after = at + APART
    return found
