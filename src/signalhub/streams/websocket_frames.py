"""Encode events as WebSocket text frames, for the canonical path and for the older ones."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from signalhub.streams import control_events
from signalhub.streams.account_channel import EventEncoder, Frame, OutgoingMessage, PrunedRange

_encode_json = msgspec.json.Encoder().encode


def encode_single_events(items: Sequence[Frame | PrunedRange], epoch: str) -> list[OutgoingMessage]:
    """Encode each event as a frame of its own."""
    return [to_message(_to_json(item, epoch)) for item in items]


def encode_batch(items: Sequence[Frame | PrunedRange], epoch: str) -> list[OutgoingMessage]:
    """Encode all events as one frame, a JSON array."""
    return [to_message(b"[" + b",".join([_to_json(item, epoch) for item in items]) + b"]")]


def to_message(text: bytes) -> OutgoingMessage:
    return OutgoingMessage({"type": "websocket.send", "text": text.decode()}, len(text))


def _to_json(item: Frame | PrunedRange, epoch: str) -> bytes:
    return _encode_json(control_events.build_gap(epoch, item)) if isinstance(item, PrunedRange) else item.body


class LegacyOrderFrame(msgspec.Struct, frozen=True):
    type: str
    order_id: str
    instrument: str
    action: str
    status: str
    entry_price: str | None
    stop_loss: str
    take_profit: str
    user: str


class LegacyRejectionFrame(msgspec.Struct, frozen=True):
    type: str
    signal_id: str
    raw_signal: str
    reason: str
    detail: str
    user: str


class LegacyHello(msgspec.Struct, frozen=True, tag="connection_established", tag_field="type"):
    message: str


class _OrderData(msgspec.Struct):
    symbol: str
    side: str
    status: str
    entry: str | None
    stop_loss: str
    take_profits: list[str]


class _OrderEvent(msgspec.Struct):
    type: str
    order_id: str
    data: _OrderData


class _RejectionEvent(msgspec.Struct):
    type: str
    signal_id: str
    data: dict[str, Any]


_decode_order_event: Final = msgspec.json.Decoder(_OrderEvent).decode
_decode_rejection_event: Final = msgspec.json.Decoder(_RejectionEvent).decode


def legacy_order_encoder(account_id: str) -> EventEncoder:
    return _legacy_encoder(to_legacy_order, account_id)


def legacy_rejection_encoder(account_id: str) -> EventEncoder:
    return _legacy_encoder(to_legacy_rejection, account_id)


@lru_cache(maxsize=2048)  # the same object for all streams of an account, so that they share encoded batches
def _legacy_encoder(to_frame: Callable[[bytes, str], msgspec.Struct], account_id: str) -> EventEncoder:
    def encode(items: Sequence[Frame | PrunedRange], epoch: str) -> list[OutgoingMessage]:
        return [
            to_message(
                _to_json(item, epoch)
                if isinstance(item, PrunedRange)
                else _encode_json(to_frame(item.body, account_id))
            )
            for item in items
        ]

    return encode


def to_legacy_order(body: bytes, account_id: str) -> LegacyOrderFrame:
    event = _decode_order_event(body)
    order = event.data
    return LegacyOrderFrame(
        type=event.type,
        order_id=event.order_id,
        instrument=order.symbol,
        action=order.side,
        status=order.status,
        entry_price=order.entry,
        stop_loss=order.stop_loss,
        take_profit=next(iter(order.take_profits), ""),  # an order whose row cannot be read may have none
        user=account_id,
    )


def to_legacy_rejection(body: bytes, account_id: str) -> LegacyRejectionFrame:
    event = _decode_rejection_event(body)
    data = event.data
    return LegacyRejectionFrame(event.type, event.signal_id, data["raw"], data["reason"], data["detail"], account_id)
