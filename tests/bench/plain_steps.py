"""The yardstick: a Dramatiq message for each step of an order, and a transaction for each message.

What one writes first: an actor that fills, which sends a message to an actor that closes; rows as objects in a session.
The same rows and events are written as by the service.
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
from signalhub.brokers.mock import MockBroker
from signalhub.brokers.reports import take
from signalhub.domain.events import Event, Head, append, order_fact
from signalhub.jobs import connect

FILL: Final = "plain.fill"
CLOSE: Final = "plain.close"
NAMESPACE: Final = "plain"


def boot() -> None:
    """What `dramatiq tests.bench.plain_steps:boot` calls in each worker process."""
    broker = make_broker(os.environ["BENCH_REDIS_URL"], [AsyncIO()])
    steps = _Steps(broker, os.environ["BENCH_DATABASE_URL"])
    actor = partial(dramatiq.actor, broker=broker)
    actor(actor_name=FILL)(steps.fill)
    actor(actor_name=CLOSE)(steps.close)
    dramatiq.set_broker(broker)


def make_broker(redis_url: str, middleware: list[Any]) -> RedisBroker:
    client = connect(redis_url, timeout_s=5.0)
    return RedisBroker(client=client, namespace=NAMESPACE, middleware=middleware)  # type: ignore[no-untyped-call]


def send(broker: dramatiq.Broker, order_ids: Iterable[str]) -> None:
    for order_id in order_ids:
        broker.enqueue(message(FILL, order_id))


def message(actor: str, order_id: str) -> "dramatiq.Message[None]":
    return dramatiq.Message(queue_name="default", actor_name=actor, args=(order_id,), kwargs={}, options={})


class _Steps:
    def __init__(self, broker: dramatiq.Broker, database_url: str) -> None:
        self._broker, self._market = broker, MockBroker({})
        self._session = async_sessionmaker(create_engine(database_url, pool_size=10), expire_on_commit=False)

    async def fill(self, order_id: str) -> None:
        await self._step(order_id)
        self._broker.enqueue(message(CLOSE, order_id))

    async def close(self, order_id: str) -> None:
        await self._step(order_id)

    async def _step(self, order_id: str) -> None:
        now = datetime.now(UTC)
        async with self._session() as session:
            row = await session.get_one(OrderRow, order_id, with_for_update=True)
            account = await session.get_one(AccountRow, row.account_id, with_for_update=True)
            order = orders.from_row(_mapping(row))
            ((move, after),) = take(order, await self._market.step(order, now), now).made
            head = Head(account.last_seq, account.last_hash)
            head, event = append(head, order_fact(str(move.__struct_config__.tag), after), now)
            for name, value in orders._changes(after, self._market.next_due(after)).items():  # noqa: SLF001 - the same columns
                setattr(row, name, value)
            account.last_seq, account.last_hash = head.seq, head.hash
            session.add(EventRow(**_fields(event), body=event.body.decode()))
            await session.commit()


def _mapping(row: OrderRow) -> Any:  # noqa: ANN401 - what reads a row reads any mapping
    return {column.name: getattr(row, column.name) for column in OrderRow.__table__.columns}


def _fields(event: Event) -> dict[str, Any]:
    names = ("account_id", "seq", "type", "at", "order_id", "signal_id", "hash")
    return {name: getattr(event, name) for name in names}
