"""Events of an account's log: numbered without a gap, hash-chained and encoded once.

An event is encoded when it is appended and never again: the database, the Redis stream, SSE, WebSocket and the pages of
the log all pass on the same bytes.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from signalhub.domain.order import Interruption, Order, PartialClose
from signalhub.domain.signal import OrderType, Side, Signal, format_decimal

# All event types; docs/events.md is tested against this list.
EVENT_TYPES: Final = (
    "signal.accepted",
    "signal.rejected",
    "order.pending",
    "order.retrying",
    "order.executed",
    "order.partially_closed",
    "order.closed",
    "order.rejected",
    "order.cancelled",
    "order.expired",
    "account.created",
    "account.broker_added",
    "account.broker_removed",
    "key.created",
    "key.rotated",
    "key.revoked",
    "hook.created",
    "hook.rotated",
    "hook.revoked",
)


class EventCriteria(msgspec.Struct, frozen=True, kw_only=True):
    """Which events of a log to return: those that meet all criteria. None is no criterion.

    `sources` are ids of API keys and hooks. Events that are not about an order or a signal have no symbol, order or
    source.
    """

    types: frozenset[str] | None = None
    symbols: frozenset[str] | None = None
    order_ids: frozenset[str] | None = None
    sources: frozenset[str] | None = None


ALL_EVENTS: Final = EventCriteria()


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event without its place in the log. `data` is anything msgspec can encode."""

    type: str
    account_id: str
    data: Any
    order_id: str | None = None
    signal_id: str | None = None
    trace_id: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the log. `body` is the JSON that is stored and sent, `hash` chains it to the previous event."""

    account_id: str
    seq: int
    type: str
    at: datetime
    order_id: str | None
    signal_id: str | None
    body: bytes
    hash: bytes


Publish = Callable[[Sequence[Event], Sequence[tuple[str, str]]], None]
"""Called after the commit with the new events, and the id and trace id of each due order. Must not raise or wait."""


class _EventBody(msgspec.Struct, frozen=True):
    """The JSON of an event, with its fields in this order."""

    seq: int
    type: str
    at: str
    order_id: str | None
    signal_id: str | None
    trace_id: str
    data: Any


class Head(msgspec.Struct, frozen=True):
    """The end of an account's log: the last `seq` and the hash of that event (empty before the first)."""

    seq: int = 0
    hash: bytes = b""


_encode = msgspec.json.Encoder().encode


def append_event(head: Head, new_event: NewEvent, timestamp: datetime) -> tuple[Head, Event]:
    """Append an event after `head`. The caller must hold the account's lock, or two events could share a number."""
    seq = head.seq + 1
    body = _encode(
        _EventBody(
            seq,
            new_event.type,
            format_timestamp(timestamp),
            new_event.order_id,
            new_event.signal_id,
            new_event.trace_id,
            new_event.data,
        )
    )
    digest = chain_hash(head.hash, body)
    event = Event(
        account_id=new_event.account_id,
        seq=seq,
        type=new_event.type,
        at=timestamp,
        order_id=new_event.order_id,
        signal_id=new_event.signal_id,
        body=body,
        hash=digest,
    )
    return Head(seq, digest), event


def chain_hash(previous_hash: bytes, body: bytes) -> bytes:
    """Hash the previous hash and the body, so that changing an event changes the hash of all that follow."""
    return hashlib.sha256(previous_hash + body).digest()


@lru_cache(maxsize=256)  # the events of a batch share one instant and format it three times each
def format_timestamp(timestamp: datetime) -> str:
    """Format as RFC 3339 in UTC with microseconds, of constant width, so that text order is time order."""
    return timestamp.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class PartialCloseView(msgspec.Struct, frozen=True):
    """A PartialClose as JSON shows it."""

    price: str
    quantity: str
    reason: str
    at: str


class InterruptionView(msgspec.Struct, frozen=True):
    """An Interruption as JSON shows it."""

    claimed_at: str
    resumed_at: str
    attempt: int


class OrderView(msgspec.Struct, frozen=True):
    """An order as JSON shows it, in events and answers. Fields are read from Order and its terms by their names."""

    id: str
    signal_id: str
    side: Side
    symbol: str
    order_type: OrderType
    entry: str | None
    entry_high: str | None
    stop_loss: str
    take_profits: tuple[str, ...]
    quantity: str
    status: str
    reason: str | None
    broker_order_id: str | None
    fill_price: str | None
    filled_at: str | None
    close_price: str | None
    closed_at: str | None
    close_reason: str | None
    pnl: str | None
    r_multiple: str | None
    attempts: int
    next_attempt_at: str | None
    version: int
    created_at: str
    updated_at: str
    trace_id: str
    profile: str
    simulate: str | None
    expires_at: str | None
    filled_quantity: str
    remaining_quantity: str
    closes: tuple[PartialCloseView, ...]
    pnl_currency: str | None
    pnl_price: str | None
    pips: str | None
    mae: str | None
    mfe: str | None
    commission: str | None
    interruptions: tuple[InterruptionView, ...] = ()


_DECIMAL_FIELDS: Final = (
    "entry", "entry_high", "stop_loss", "quantity", "fill_price", "close_price", "pnl", "r_multiple",
    "filled_quantity", "remaining_quantity", "pnl_price", "pips", "mae", "mfe", "commission",
)  # fmt: skip
_TIMESTAMP_FIELDS: Final = ("filled_at", "closed_at", "next_attempt_at", "created_at", "updated_at", "expires_at")
_FORMATTERS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(_DECIMAL_FIELDS, format_decimal),
    **dict.fromkeys(_TIMESTAMP_FIELDS, format_timestamp),
    "take_profits": lambda prices: tuple(map(format_decimal, prices)),
    "closes": lambda parts: tuple(map(to_partial_close_view, parts)),
    "interruptions": lambda interruptions: tuple(map(to_interruption_view, interruptions)),
}
_INDEXED_FORMATTERS: Final = [(OrderView.__struct_fields__.index(name), call) for name, call in _FORMATTERS.items()]
# The fields of the terms follow the two ids, in the order of Signal. This runs for every event of an order: to read
# them one by one, or to choose a formatter by the type of a value, takes a fifth longer.
_get_values_after_terms = attrgetter(*OrderView.__struct_fields__[2 + len(Signal.__struct_fields__) :])


def to_order_view(order: Order) -> OrderView:
    values = [order.id, order.signal_id, *astuple(order.terms), *_get_values_after_terms(order)]
    for index, formatter in _INDEXED_FORMATTERS:
        value = values[index]
        if value is not None:
            values[index] = formatter(value)
    return OrderView(*values)


def to_partial_close_view(part: PartialClose) -> PartialCloseView:
    return PartialCloseView(
        format_decimal(part.price), format_decimal(part.quantity), part.reason, format_timestamp(part.at)
    )


def to_interruption_view(interruption: Interruption) -> InterruptionView:
    times = format_timestamp(interruption.claimed_at), format_timestamp(interruption.resumed_at)
    return InterruptionView(*times, interruption.attempt)


def order_event(type_: str, order: Order) -> NewEvent:
    """Create an `order.*` event; its data is the order as it now is."""
    return NewEvent(
        type=type_,
        account_id=order.account_id,
        data=to_order_view(order),
        order_id=order.id,
        signal_id=order.signal_id,
        trace_id=order.trace_id,
    )
