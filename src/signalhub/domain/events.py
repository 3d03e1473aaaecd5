"""Events of an account's log: numbered without a gap, and encoded once, as the bytes that every transport sends.

An event is encoded when it is written and never again: the database, the Redis stream, SSE, WebSocket and the pages of
the log all pass on the same bytes.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from signalhub.domain.order import Order, PartialClose
from signalhub.domain.pnl import rounded_mean_gain
from signalhub.domain.signal import OrderType, Side, format_decimal, format_decimal_or_none

# Every type there is. docs/events.md is tested against it.
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
    "hook.revoked",
)


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that became true, before it has its place in the log. `data` is anything msgspec can encode."""

    type: str
    account_id: str
    data: Any
    order_id: str | None = None
    signal_id: str | None = None
    trace_id: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact in its place. `body` is the JSON that travels, `hash` chains it to the event before."""

    account_id: str
    seq: int
    type: str
    at: datetime
    order_id: str | None
    signal_id: str | None
    body: bytes
    hash: bytes


Publish = Callable[[Sequence[Event], Sequence[tuple[str, str]]], None]
"""Pass on new events, and the id and the trace id of each due order, after the commit. Must not raise or wait."""


class _EventBody(msgspec.Struct, frozen=True):
    """The fields in the order in which they travel."""

    seq: int
    type: str
    at: str
    order_id: str | None
    signal_id: str | None
    trace_id: str
    data: Any


class Head(msgspec.Struct, frozen=True):
    """Where an account's log ends: the last `seq` and the hash of that event (empty before the first)."""

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


@lru_cache(maxsize=256)  # a batch shares its instant, and each of its events tells it three times
def format_timestamp(timestamp: datetime) -> str:
    """Format as RFC 3339 in UTC with microseconds, of constant width, so that text order is time order."""
    return timestamp.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def format_timestamp_or_none(timestamp: datetime | None) -> str | None:
    return None if timestamp is None else format_timestamp(timestamp)


class PartialCloseView(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the position that was closed; all that was left of it, when it is the last."""

    price: str
    quantity: str
    reason: str
    at: str


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order as JSON shows it, in events and answers alike."""

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


def to_order_view(order: Order) -> OrderView:
    terms = order.terms
    # One line for each field: there is no shorter way to say which value is shown as what.
    return OrderView(
        id=order.id,
        signal_id=order.signal_id,
        side=terms.side,
        symbol=terms.symbol,
        order_type=terms.order_type,
        entry=format_decimal_or_none(terms.entry),
        entry_high=format_decimal_or_none(terms.entry_high),
        stop_loss=format_decimal(terms.stop_loss),
        take_profits=tuple(map(format_decimal, terms.take_profits)),
        quantity=format_decimal(terms.quantity),
        status=order.status,
        reason=order.reason,
        broker_order_id=order.broker_order_id,
        fill_price=format_decimal_or_none(order.fill_price),
        filled_at=format_timestamp_or_none(order.filled_at),
        close_price=format_decimal_or_none(order.close_price),
        closed_at=format_timestamp_or_none(order.closed_at),
        close_reason=order.close_reason,
        pnl=format_decimal_or_none(order.pnl),
        r_multiple=format_decimal_or_none(order.r_multiple),
        attempts=order.attempts,
        next_attempt_at=format_timestamp_or_none(order.next_attempt_at),
        version=order.version,
        created_at=format_timestamp(order.created_at),
        updated_at=format_timestamp(order.updated_at),
        trace_id=order.trace_id,
        profile=order.profile,
        simulate=order.simulate,
        expires_at=format_timestamp_or_none(order.expires_at),
        filled_quantity=format_decimal(order.filled_quantity),
        remaining_quantity=format_decimal(order.open_quantity),
        closes=tuple(map(_to_partial_close_view, order.closes)),
        pnl_currency=order.pnl_currency,
        pnl_price=None if order.pnl is None else format_decimal(rounded_mean_gain(order.price_gains)),
        pips=format_decimal_or_none(order.pips),
        mae=format_decimal_or_none(order.mae),
        mfe=format_decimal_or_none(order.mfe),
        commission=format_decimal_or_none(order.commission),
    )


def _to_partial_close_view(partial_close: PartialClose) -> PartialCloseView:
    return PartialCloseView(
        price=format_decimal(partial_close.price),
        quantity=format_decimal(partial_close.quantity),
        reason=partial_close.reason,
        at=format_timestamp(partial_close.at),
    )


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
