"""The lifecycle baseline: a Dramatiq message for each step of an order, and a transaction for each message.

The obvious implementation: an actor fills the order and sends a message to an actor that closes it. Rows are objects of
a session. It writes the same rows and events as the service.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO
from sqlalchemy.ext.asyncio import async_sessionmaker

from db import orders
from db.engine import create_engine
from db.tables import AccountRow, EventRow, OrderRow
from signalhub import redis_clients
from signalhub.brokers.mock.broker import MockBroker
from signalhub.brokers.stepper import apply_report
from signalhub.domain.events import Event, Head, append_event, order_event

FILL_ACTOR: Final = "plain.fill"
CLOSE_ACTOR: Final = "plain.close"
NAMESPACE: Final = "plain"


def boot() -> None:
    """Set up a worker process: `dramatiq tests.bench.dramatiq_baseline:boot` calls this."""
    broker = create_broker(os.environ["BENCH_REDIS_URL"], [AsyncIO()])
    steps = _OrderSteps(broker, os.environ["BENCH_DATABASE_URL"])
    actor = partial(dramatiq.actor, broker=broker)
    actor(actor_name=FILL_ACTOR)(steps.fill)
    actor(actor_name=CLOSE_ACTOR)(steps.close)
    dramatiq.set_broker(broker)


def create_broker(redis_url: str, middleware: list[Any]) -> RedisBroker:
    client = redis_clients.connect(redis_url, timeout_s=5.0)
    return RedisBroker(client=client, namespace=NAMESPACE, middleware=middleware)  # type: ignore[no-untyped-call]


def enqueue_fills(broker: dramatiq.Broker, order_ids: Iterable[str]) -> None:
    for order_id in order_ids:
        broker.enqueue(build_message(FILL_ACTOR, order_id))


def build_message(actor: str, order_id: str) -> "dramatiq.Message[None]":
    return dramatiq.Message(queue_name="default", actor_name=actor, args=(order_id,), kwargs={}, options={})


class _OrderSteps:
    def __init__(self, broker: dramatiq.Broker, database_url: str) -> None:
        self._broker, self._mock_broker = broker, MockBroker({})
        self._session = async_sessionmaker(create_engine(database_url, pool_size=10), expire_on_commit=False)

    async def fill(self, order_id: str) -> None:
        await self._advance(order_id)
        self._broker.enqueue(build_message(CLOSE_ACTOR, order_id))

    async def close(self, order_id: str) -> None:
        await self._advance(order_id)

    async def _advance(self, order_id: str) -> None:
        now = datetime.now(UTC)
        async with self._session() as session:
            row = await session.get_one(OrderRow, order_id, with_for_update=True)
            account = await session.get_one(AccountRow, row.account_id, with_for_update=True)
            order = orders.from_row(_to_mapping(row))
            ((move, after),) = apply_report(order, await self._mock_broker.step(order, now), now).applied
            head = Head(account.last_seq, account.last_hash)
            head, event = append_event(head, order_event(str(move.__struct_config__.tag), after), now)
            for name, value in orders._update_row(after, self._mock_broker.next_due(after)).items():  # noqa: SLF001 - the same columns
                setattr(row, name, value)
            account.last_seq, account.last_hash = head.seq, head.hash
            session.add(EventRow(**_to_event_columns(event), body=event.body.decode()))
            await session.commit()


def _to_mapping(row: OrderRow) -> Any:  # noqa: ANN401 - a row as a mapping
    return {column.name: getattr(row, column.name) for column in OrderRow.__table__.columns}


def _to_event_columns(event: Event) -> dict[str, Any]:
    names = ("account_id", "seq", "type", "at", "order_id", "signal_id", "hash")
    return {name: getattr(event, name) for name in names}
