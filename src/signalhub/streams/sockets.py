"""The log over a WebSocket: what a frame looks like, on the canonical path and on the older ones."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from signalhub.streams import notices
from signalhub.streams.channel import Dress, Frame, Gap, Parcel

_encode = msgspec.json.Encoder().encode


def single(found: Sequence[Frame | Gap], epoch: str) -> list[Parcel]:
    """One event a frame."""
    return [parcel(_body(one, epoch)) for one in found]


def batched(found: Sequence[Frame | Gap], epoch: str) -> list[Parcel]:
    """All there is in one frame, as a JSON array."""
    return [parcel(b"[" + b",".join([_body(one, epoch) for one in found]) + b"]")]


def parcel(text: bytes) -> Parcel:
    return Parcel({"type": "websocket.send", "text": text.decode()}, len(text))


def _body(one: Frame | Gap, epoch: str) -> bytes:
    return _encode(notices.pruned(epoch, one)) if isinstance(one, Gap) else one.body


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


class LegacyRefusalFrame(msgspec.Struct, frozen=True):
    type: str
    signal_id: str
    raw_signal: str
    reason: str
    detail: str
    user: str


class LegacyHello(msgspec.Struct, frozen=True, tag="connection_established", tag_field="type"):
    message: str


class _Order(msgspec.Struct):
    symbol: str
    side: str
    status: str
    entry: str | None
    stop_loss: str
    take_profits: list[str]


class _OrderEvent(msgspec.Struct):
    type: str
    order_id: str
    data: _Order


class _RefusalEvent(msgspec.Struct):
    type: str
    signal_id: str
    data: dict[str, Any]


_order_event: Final = msgspec.json.Decoder(_OrderEvent).decode
_refusal_event: Final = msgspec.json.Decoder(_RefusalEvent).decode


@lru_cache(maxsize=1024)  # one for all streams of the account: what they are sent is then made once
def legacy_orders(account_id: str) -> Dress:
    def dress(found: Sequence[Frame | Gap], epoch: str) -> list[Parcel]:
        return [
            parcel(_body(one, epoch) if isinstance(one, Gap) else _encode(_legacy_order(one.body, account_id)))
            for one in found
        ]

    return dress


@lru_cache(maxsize=1024)  # one for all streams of the account: what they are sent is then made once
def legacy_refusals(account_id: str) -> Dress:
    def dress(found: Sequence[Frame | Gap], epoch: str) -> list[Parcel]:
        return [
            parcel(_body(one, epoch) if isinstance(one, Gap) else _encode(_legacy_refusal(one.body, account_id)))
            for one in found
        ]

    return dress


def _legacy_order(body: bytes, account_id: str) -> LegacyOrderFrame:
    event = _order_event(body)
    order = event.data
    return LegacyOrderFrame(
        type=event.type,
        order_id=event.order_id,
        instrument=order.symbol,
        action=order.side,
        status=order.status,
        entry_price=order.entry,
        stop_loss=order.stop_loss,
        take_profit=order.take_profits[0],
        user=account_id,
    )


def _legacy_refusal(body: bytes, account_id: str) -> LegacyRefusalFrame:
    event = _refusal_event(body)
    data = event.data
    return LegacyRefusalFrame(event.type, event.signal_id, data["raw"], data["reason"], data["detail"], account_id)
