"""Recorded signals, read from a file: texts with their times.

Three forms are told apart by their first character: lines of JSON with `text` and `at`, a page of
`GET /api/v1/signals` (the account's own history), and plain texts with an empty line between two.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

DEFAULT_START_AT: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""The time of the first text, where none is said: a Monday."""

DEFAULT_INTERVAL: Final = timedelta(minutes=1)


class RecordedSignal(msgspec.Struct, frozen=True):
    text: str
    received_at: datetime


class _RecordedLine(msgspec.Struct):
    text: str
    at: datetime | None = None


class _HistorySignal(msgspec.Struct):
    raw: str
    received_at: datetime


class _HistoryPage(msgspec.Struct):
    items: list[_HistorySignal]


def read_recording(raw: bytes) -> list[RecordedSignal]:
    """In the order in which they came. Raises ValueError with a sentence."""
    text = raw.decode("utf-8-sig")
    if not text.lstrip().startswith("{"):
        return _with_default_times(
            _RecordedLine(block) for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")) if block.strip()
        )
    if re.match(r'\s*\{\s*"items"', text):
        page = msgspec.json.decode(raw, type=_HistoryPage)
        found = [RecordedSignal(sent.raw, sent.received_at) for sent in page.items]
    else:
        found = _with_default_times(
            _decode_line(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()
        )
    return sorted(found, key=lambda one: one.received_at)


def _decode_line(number: int, line: str) -> _RecordedLine:
    try:
        return msgspec.json.decode(line, type=_RecordedLine)
    except msgspec.MsgspecError as error:
        raise ValueError(f'Line {number} is to be {{"text": …, "at": …}}: {error}.') from None


def _with_default_times(lines: Iterable[_RecordedLine]) -> list[RecordedSignal]:
    """A text without a time comes a minute after the one before it."""
    found: list[RecordedSignal] = []
    after = DEFAULT_START_AT
    for line in lines:
        at = line.at or after
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        found.append(RecordedSignal(line.text, at))
        after = at + DEFAULT_INTERVAL
    return found
