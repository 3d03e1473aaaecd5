"""Filter events by type, as in `?types=order.*,signal.rejected`. Hidden events still move the cursor."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import lru_cache

from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import EVENT_TYPES

EventFilter = Callable[[str], bool]


def match_all(_type: str) -> bool:
    return True


def parse(text: str | None) -> EventFilter:
    """Return the filter. Raises `bad_request` for a pattern that no event type can match: it is a typing mistake."""
    if not text:
        return match_all
    return select_types(text).__contains__


@lru_cache(maxsize=256)  # the same set for equal filters, so that they share encoded batches
def select_types(text: str) -> frozenset[str]:
    """Return the event types that the patterns in `text` match."""
    patterns = [part.strip() for part in text.split(",") if part.strip()]
    if not patterns:
        raise SignalHubError("bad_request", "types names no event type; docs/events.md lists them.")
    for pattern in patterns:
        if not any(fnmatchcase(known, pattern) for known in EVENT_TYPES):
            raise SignalHubError("bad_request", f"No event type matches {pattern[:64]!r}; docs/events.md lists them.")
    return frozenset(known for known in EVENT_TYPES if any(fnmatchcase(known, pattern) for pattern in patterns))
