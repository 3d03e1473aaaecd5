"""`GET /api/v1/receipts/{signal_id}`: what became of a signal, from its text to the first stream that had its events.

Stages come from what is stored or kept in memory anyway, so that a receipt costs a signal nothing. A stage that has not
happened, or of which nothing is known any more, is null.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec
from litestar import get
from msgspec.structs import replace
from redis import RedisError

from signalhub import grammar
from signalhub.brokers.stepper import find_next_due
from signalhub.container import Services
from signalhub.domain.events import OrderView, format_timestamp, to_order_view
from signalhub.domain.order import Order, Status
from signalhub.services.queries import StoredSignal
from signalhub.streams import redis_stream
from signalhub.web.auth import AppServices, Caller
from signalhub.web.openapi import LOOKUP_PROBLEMS, ReceiptDocument, Stage, response_specs

_MOVED_BY_WORKER: Final = frozenset({"order.retrying", "order.executed", "order.rejected", "order.expired"})


class Receipt(msgspec.Struct, frozen=True):
    """The wire format is `openapi.ReceiptDocument`; here the stored JSON is passed on as it is."""

    signal: StoredSignal
    parse: grammar.Explanation
    order: OrderView | None
    events: list[msgspec.Raw]
    stages: dict[str, Stage | None]


class EventTimes(msgspec.Struct):
    """What a stage needs of an event. An order's `updated_at` is the time of the claim in which it made the move."""

    class Data(msgspec.Struct):
        updated_at: datetime | None = None

    seq: int
    type: str
    at: datetime
    data: Data


_decode_times: Final = msgspec.json.Decoder(EventTimes).decode


@get(
    "/api/v1/receipts/{signal_id:str}",
    responses=response_specs(200, ReceiptDocument) | LOOKUP_PROBLEMS,
    tags=["signals"],
    summary="A signal's whole story",
)
async def get_receipt(services: AppServices, principal: Caller, signal_id: str) -> Receipt:
    """Read the text anew, as it would be parsed today, and list every event and the time of each stage."""
    account_id = principal.account_id
    signal, events = await services.queries.get_signal_with_events(account_id, signal_id)
    order = await find_order(services, account_id, signal)
    times = [_decode_times(event.body) for event in events]
    received_at = datetime.fromisoformat(signal.received_at)
    stages = measure_execution(services, received_at, order, times)
    stages |= await measure_delivery(services, account_id, times)
    return Receipt(
        signal,
        grammar.explain(signal.raw.encode(errors="surrogatepass")),
        None if order is None else to_order_view(order),
        [msgspec.Raw(event.body) for event in events],
        to_stages(received_at, stages),
    )


async def find_order(services: Services, account_id: str, signal: StoredSignal) -> Order | None:
    """Return the signal's order, None if the signal was refused."""
    if signal.answer is None:
        return None
    order_id: str = msgspec.json.decode(signal.answer)["order_id"]
    return await services.queries.get_order(account_id, order_id)


def measure_execution(
    services: Services, received_at: datetime, order: Order | None, events: Sequence[EventTimes]
) -> dict[str, datetime | None]:
    """Return the times up to `executed`.

    The first three are one: that of the transaction that stored the signal, which had been parsed just before.
    """
    claimed_at = next((event.data.updated_at for event in events if event.type in _MOVED_BY_WORKER), None)
    return {
        "received": received_at,
        "parsed": received_at,
        "committed": received_at,
        "enqueued": None if order is None else find_first_due(services, order, claimed_at),
        "claimed": claimed_at,
        "executed": next((event.at for event in events if event.type == "order.executed"), None),
    }


def find_first_due(services: Services, order: Order, claimed_at: datetime | None) -> datetime | None:
    """Return when the order fell due for the first time, which is when a worker is asked for it; None before that."""
    as_created = replace(
        order, status=Status.PENDING, attempts=0, next_attempt_at=None, version=1, updated_at=order.created_at
    )
    due_at = find_next_due(services.broker, as_created, order.created_at)
    latest = claimed_at or datetime.now(UTC)
    return None if due_at is None or (claimed_at is None and due_at > latest) else min(due_at, latest)


async def measure_delivery(
    services: Services, account_id: str, events: Sequence[EventTimes]
) -> dict[str, datetime | None]:
    """Return when the event of the execution was published and delivered, the signal's first event without one."""
    event = next((event for event in events if event.type == "order.executed"), events[0] if events else None)
    if event is None:  # pruned
        return {"published": None, "delivered": None}
    published_at = None
    with suppress(RedisError, OSError):
        stream_key = (await services.redis_keys.load()).events
        published_at = await redis_stream.find_publish_time(
            services.redis, stream_key, account_id, event.seq, committed_at=event.at
        )
    return {"published": published_at, "delivered": services.relay.find_delivery_time(account_id, event.seq)}


def to_stages(received_at: datetime, times: Mapping[str, datetime | None]) -> dict[str, Stage | None]:
    return {name: None if time is None else to_stage(received_at, time) for name, time in times.items()}


def to_stage(received_at: datetime, time: datetime) -> Stage:
    return Stage(format_timestamp(time), round((time - received_at).total_seconds() * 1000, 3))
