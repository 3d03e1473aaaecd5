"""Structs that travel between the service and its client, defined once for both.

Field names, tags and their order are the wire contract: the service encodes them, the client decodes them, and a client
of an earlier release must still be able to.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from signalhub.domain.errors import Notice
from signalhub.domain.signal import SignalView

SNAPSHOT_PATH: Final = "/api/v1/orders"


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every 2xx to a signal: signal and order are committed. `seq` is the `order.pending` event's.

    `notices` is there only where there is one.
    """

    message: str = "Signal received and processed successfully."
    info: str
    signal_id: str
    order_id: str
    status: str
    duplicate: bool
    seq: int
    trace_id: str
    signal: SignalView
    notices: tuple[Notice, ...] | msgspec.UnsetType = msgspec.UNSET


class EventDocument(msgspec.Struct, frozen=True):
    """One line of the account's log. `data` is what the event is about, such as the order as it then was."""

    seq: int
    type: str
    at: str
    order_id: str | None
    signal_id: str | None
    trace_id: str
    data: dict[str, Any]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An `EventDocument` as the client hands it out: `at` parsed, and in `raw` the JSON as the service wrote it."""

    seq: int
    type: str
    at: datetime
    order_id: str | None
    signal_id: str | None
    trace_id: str
    data: dict[str, Any]
    raw: bytes = b""


class Ready(msgspec.Struct, frozen=True, tag="stream.ready", tag_field="type"):
    """First message of a stream: it begins after event `seq`; `head` is the last event of the log now.

    After `heartbeat_s` seconds without an event comes a heartbeat. A service of an earlier release does not say so.
    """

    epoch: str
    seq: int
    head: int
    heartbeat_s: float = 15.0


class Reset(msgspec.Struct, frozen=True, tag="stream.reset", tag_field="type"):
    """The requested cursor is not in this log (`reason`). The stream goes on after `seq`: load `snapshot` again."""

    epoch: str
    seq: int
    head: int
    reason: str
    snapshot: str = SNAPSHOT_PATH


class Gap(msgspec.Struct, frozen=True, tag="stream.gap", tag_field="type"):
    """Events `first` to `last` are no longer kept; their results are in `snapshot`."""

    epoch: str
    first: int
    last: int
    snapshot: str = SNAPSHOT_PATH


class Heartbeat(msgspec.Struct, frozen=True, tag="stream.heartbeat", tag_field="type"):
    """Sent while nothing is new. `seq` may still have advanced, past events that a filter hides."""

    epoch: str
    seq: int


class Full(msgspec.Struct, frozen=True, tag="stream.full", tag_field="type"):
    """In place of a stream: the account has as many as it may. Come back after `retry_ms`."""

    retry_ms: int
    detail: str


class Replaced(msgspec.Struct, frozen=True, tag="stream.replaced", tag_field="type"):
    """Last message of a stream that gave way to a newer one of the account. Resume after `retry_ms`."""

    retry_ms: int
    detail: str


class Unavailable(msgspec.Struct, frozen=True, tag="stream.unavailable", tag_field="type"):
    """In place of a stream: the service cannot serve it at the moment. Come back after `retry_ms`."""

    retry_ms: int
    detail: str
