"""Where a follower is in the log, across connections and transports: what makes each event come exactly once."""

import re
from typing import Final

from signalhub.client.items import CursorAdvanced, Event, Gap, Item, Ready, Reset, StreamMessage

_CURSOR_PATTERN: Final = re.compile(r"(?:([A-Za-z0-9]+)-)?(\d+)", re.ASCII)


class CursorTracker:
    """Begins at a cursor of the caller's, or nowhere, which means: from now on."""

    def __init__(self, after: int | str | None) -> None:
        self._initial_cursor = None if after is None else str(after)
        found = _CURSOR_PATTERN.fullmatch(self._initial_cursor or "")
        self.epoch: str | None = found[1] if found else None
        self.seq: int | None = int(found[2]) if found else None

    @property
    def cursor(self) -> str | None:
        """What to ask the service for next."""
        if self.seq is None:
            return self._initial_cursor
        return f"{self.epoch}-{self.seq}" if self.epoch else str(self.seq)

    def advance(self, message: StreamMessage) -> Item | None:
        """Move on, and answer with what the caller has not had yet."""
        match message:
            case Ready():
                self._start_at(message)
                return None
            case CursorAdvanced():
                self._advance_to(message.cursor)
                return None
            case Reset():
                self.epoch, self.seq = message.epoch, message.seq
            case Gap():
                self.seq = max(message.last, self.seq or 0)
            case Event():
                if self.seq is not None and message.seq <= self.seq:
                    return None
                self.seq = message.seq
        return message

    def _start_at(self, ready: Ready) -> None:
        # Where it disagrees with us a reset follows. Believed now, that reset would be lost if the line broke here.
        if self.cursor is None or (self.seq == ready.seq and self.epoch in {None, ready.epoch}):
            self.epoch, self.seq = ready.epoch, ready.seq

    def _advance_to(self, cursor: str) -> None:
        found = _CURSOR_PATTERN.fullmatch(cursor)
        if found and found[1] == self.epoch and self.seq is not None:
            self.seq = max(int(found[2]), self.seq)
