"""Where a subscriber is in the log, as text: `<epoch>-<seq>`, or a bare `<seq>`.

Short and of `[A-Za-z0-9-]` only, because a browser sends a longer or stranger Last-Event-ID across origins only after
asking first.
"""

import re
from typing import Final

import msgspec

_FORM: Final = re.compile(r"(?:(?P<epoch>[A-Za-z0-9]{1,32})-)?(?P<seq>\d{1,18})", re.ASCII)


class Start(msgspec.Struct, frozen=True):
    """From which `seq` to go on; `reset` says why that is not what was asked for."""

    seq: int
    reset: str | None = None


def start(text: str | None, *, epoch: str, head: int) -> Start:
    """Read a cursor. Whatever is wrong with it ends in a reset to the head, never in silence."""
    if text is None or text == "":
        return Start(head)
    match = _FORM.fullmatch(text)
    if match is None:
        return Start(head, "malformed")
    if match["epoch"] is not None and match["epoch"] != epoch:
        return Start(head, "epoch")
    seq = int(match["seq"])
    return Start(seq) if seq <= head else Start(head, "future")


def place(text: str | None) -> int | None:
    """The `seq` in a cursor, whatever log it is of; None where there is none."""
    match = _FORM.fullmatch(text or "")
    return int(match["seq"]) if match else None


def render(epoch: str, seq: int) -> str:
    return f"{epoch}-{seq}"
