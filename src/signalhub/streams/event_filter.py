"""Filter the events of a log by type, symbol, source and order. Hidden events still move the cursor.

A filter by symbol, source or order shows the events about a signal or an order only. An `order.*` event does not name
its source: that is its signal's, see `SignalSources`.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

import msgspec

from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import ALL_EVENTS, EVENT_TYPES, EventCriteria

_MAX_KNOWN_SOURCES: Final = 20_000


class EventSubject(msgspec.Struct, frozen=True):
    """What an event is about. `source` is in the events of a signal, but not in those of its order."""

    order_id: str | None = None
    signal_id: str | None = None
    symbol: str | None = None
    source: str | None = None


class SignalSources:
    """The source of each signal of an account, as far as a filter has needed it. A signal's source never changes."""

    def __init__(self) -> None:
        self._source_by_signal: dict[str, str] = {}

    def add(self, signal_id: str, source: str) -> None:
        self._source_by_signal[signal_id] = source
        if len(self._source_by_signal) > _MAX_KNOWN_SOURCES:
            del self._source_by_signal[next(iter(self._source_by_signal))]

    def get(self, subject: EventSubject) -> str | None:
        """Return the source of an event, "" where it has none, and None where it has to be loaded."""
        if subject.signal_id is None:
            return ""
        if subject.source is not None:
            self.add(subject.signal_id, subject.source)
            return subject.source
        return self._source_by_signal.get(subject.signal_id)

    def list_unknown_signals(self, bodies: Iterable[bytes]) -> list[str]:
        """Return the signals of these events whose source has to be loaded."""
        subjects = map(read_subject, bodies)
        return list({str(subject.signal_id) for subject in subjects if self.get(subject) is None})


class EventFilter:
    """Made by `create_filter`: equal filters are one object, so that their subscribers share encoded batches."""

    def __init__(self, criteria: EventCriteria) -> None:
        self._criteria = criteria
        self.selects_all = criteria == ALL_EVENTS
        self._reads_body = criteria != EventCriteria(types=criteria.types)

    def selects(self, type_: str, body: bytes, sources: SignalSources) -> bool | None:
        """Return whether to show an event. None: load the source of its signal first."""
        criteria = self._criteria
        source: str | None = ""
        subject = read_subject(body) if self._reads_body else None
        if subject is not None and criteria.sources is not None:
            source = sources.get(subject)  # also of a hidden event: it can be the one that names the source
        if criteria.types is not None and type_ not in criteria.types:
            return False
        if subject is None:
            return True
        if criteria.order_ids is not None and subject.order_id not in criteria.order_ids:
            return False
        if criteria.symbols is not None and subject.symbol not in criteria.symbols:
            return False
        if criteria.sources is None or source is None:
            return None if source is None else True
        return source in criteria.sources


@lru_cache(maxsize=1024)
def create_filter(criteria: EventCriteria) -> EventFilter:
    return EventFilter(criteria)


MATCH_ALL: Final = create_filter(ALL_EVENTS)


def select_types(patterns: Iterable[str]) -> frozenset[str]:
    """Return the event types that patterns such as `order.*` match.

    Raises `bad_request` for a pattern that no event type can match: it is a typing mistake.
    """
    patterns = [pattern.strip() for pattern in patterns if pattern.strip()]
    if not patterns:
        raise SignalHubError("bad_request", "types names no event type; docs/events.md lists them.")
    for pattern in patterns:
        if not any(fnmatchcase(known, pattern) for known in EVENT_TYPES):
            raise SignalHubError("bad_request", f"No event type matches {pattern[:64]!r}; docs/events.md lists them.")
    return frozenset(known for known in EVENT_TYPES if any(fnmatchcase(known, pattern) for pattern in patterns))


class _SignalTerms(msgspec.Struct):
    symbol: str


class _EventData(msgspec.Struct):
    symbol: str | None = None
    credential_id: str | None = None
    signal: _SignalTerms | None = None


class _EventBody(msgspec.Struct):
    order_id: str | None
    signal_id: str | None
    data: _EventData


_decode_body: Final = msgspec.json.Decoder(_EventBody).decode


@lru_cache(maxsize=2048)  # several filters may look at one event
def read_subject(body: bytes) -> EventSubject:
    """Read what an event is about. One of another form, whose data has no such fields, is about nothing."""
    try:
        event = _decode_body(body)
    except msgspec.ValidationError:
        return EventSubject()
    data = event.data
    symbol = data.signal.symbol if data.signal is not None else data.symbol
    return EventSubject(event.order_id, event.signal_id, symbol, data.credential_id)
