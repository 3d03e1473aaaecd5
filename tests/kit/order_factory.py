"""Build domain orders without a service."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from msgspec.structs import replace

from signalhub.domain.identifiers import uuid7
from signalhub.domain.order import Order
from signalhub.domain.signal import OrderType, Side, Signal

NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
EURUSD_LIMIT_BUY: Final = Signal(
    side=Side.BUY,
    symbol="EURUSD",
    order_type=OrderType.LIMIT,
    entry=Decimal("1.0860"),
    stop_loss=Decimal("1.0850"),
    take_profits=(Decimal("1.0890"),),
)


def seconds_after_noon(seconds: float, since: datetime = NOON) -> datetime:
    return since + timedelta(seconds=seconds)


def make_id(number: int) -> str:
    return uuid7(int(NOON.timestamp() * 1000), number.to_bytes(10, "big"))


def make_order(**changes: Any) -> Order:  # noqa: ANN401 - fields of Order
    order = Order(
        id=make_id(1),
        account_id=make_id(2),
        signal_id=make_id(3),
        trace_id="0" * 31 + "1",
        terms=EURUSD_LIMIT_BUY,
        profile="demo",
        created_at=NOON,
        updated_at=NOON,
    )
    return replace(order, **changes)
