"""Where a subscriber is in the log, as text: `<epoch>-<seq>`, or a bare `<seq>`.

Short and of `[A-Za-z0-9-]` only, because a browser sends a longer or stranger Last-Event-ID across origins only after
asking first.
"""

import re
from typing import Final

import msgspec

_CURSOR_PATTERN: Final = re.compile(r"(?:(?P<epoch>[A-Za-z0-9]{1,32})-)?(?P<seq>\d{1,18})", re.ASCII)


class StartPosition(msgspec.Struct, frozen=True):
    """From which `seq` to go on; `reset` says why that is not what was asked for."""

    seq: int
    reset_reason: str | None = None


def resolve_cursor(text: str | None, *, epoch: str, head: int) -> StartPosition:
    """Read a cursor. Whatever is wrong with it ends in a reset to the head, never in silence."""
    if text is None or text == "":
        return StartPosition(head)
    match = _CURSOR_PATTERN.fullmatch(text)
    if match is None:
        return StartPosition(head, "malformed")
    if match["epoch"] is not None and match["epoch"] != epoch:
        return StartPosition(head, "epoch")
    seq = int(match["seq"])
    return StartPosition(seq) if seq <= head else StartPosition(head, "future")


def parse_cursor_seq(text: str | None) -> int | None:
    """The `seq` in a cursor, whatever log it is of; None where there is none."""
    match = _CURSOR_PATTERN.fullmatch(text or "")
    return int(match["seq"]) if match else None


def format_cursor(epoch: str, seq: int) -> str:
    return f"{epoch}-{seq}"
