"""The baselines of the ingest benchmark: a handler that does nothing, and a session per request for the same rows."""

import os
from hashlib import sha256
from typing import Any

from litestar import Litestar, Request, Response, post
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from db.engine import create_engine
from db.tables import AccountRow, EventRow, OrderRow, SignalRow
from signalhub import grammar
from signalhub.domain.events import Head, append_event, order_event
from signalhub.domain.identifiers import uuid7
from signalhub.domain.order import Order
from signalhub.services.signal_records import OrderDefaults, Submission, build_records


@post("/", status_code=202)
async def accept_nothing() -> None:
    """Measure Litestar and granian alone."""


def empty() -> Litestar:
    return Litestar([accept_nothing], logging_config=None, openapi_config=None)


def plain() -> Litestar:
    """Store each request in a session of its own, with rows as objects: the obvious implementation."""
    engine = create_engine(os.environ["BENCH_DATABASE_URL"], pool_size=16)
    account_id = os.environ["BENCH_ACCOUNT_ID"]

    @post("/", status_code=202)
    async def store(request: Request[Any, Any, Any]) -> Response[bytes]:
        return Response(await _store_signal(engine, account_id, await request.body()), media_type="application/json")

    return Litestar([store], logging_config=None, openapi_config=None)


async def _store_signal(engine: AsyncEngine, account_id: str, raw: bytes) -> bytes:
    result = grammar.parse(raw)
    assert isinstance(result, grammar.ParsedSignal)
    async with async_sessionmaker(engine, expire_on_commit=False)() as session:
        account = await session.get_one(AccountRow, account_id, with_for_update=True)
        submission = Submission(
            account_id=account_id,
            credential_id="bench",
            raw=raw,
            fingerprint=sha256(raw).digest(),
            signal=result.signal,
            trace_id=os.urandom(16).hex(),
        )
        body = await _add_rows(session, account, submission)
        await session.commit()
    return body


async def _add_rows(session: AsyncSession, account: AccountRow, submission: Submission) -> bytes:
    """Add the same four rows, two of them events, as the service does."""
    now = account.created_at
    at_ms = int(now.timestamp() * 1000)
    ids = uuid7(at_ms, os.urandom(10)), uuid7(at_ms, os.urandom(10))
    records = build_records(submission, ids, OrderDefaults("demo"), now)
    assert records.order is not None
    head = Head(account.last_seq, account.last_hash)
    for new_event in (records.new_events[0], order_event("order.pending", records.order)):
        head, event = append_event(head, new_event, now)
        session.add(EventRow(**_to_event_columns(event), body=event.body.decode()))
    account.last_seq, account.last_hash = head.seq, head.hash
    session.add(SignalRow(**_to_signal_columns(submission, ids[0], now)))
    session.add(_to_order_row(records.order))
    await session.flush()
    return b'{"order_id":"%b"}' % ids[1].encode()


def _to_event_columns(event: Any) -> dict[str, Any]:  # noqa: ANN401 - the fields of an event
    names = ("account_id", "seq", "type", "at", "order_id", "signal_id", "hash")
    return {name: getattr(event, name) for name in names}


def _to_signal_columns(submission: Submission, id_: str, now: Any) -> dict[str, Any]:  # noqa: ANN401 - a datetime
    return {
        "id": id_,
        "account_id": submission.account_id,
        "credential_id": submission.credential_id,
        "is_accepted": True,
        "raw": submission.raw,
        "fingerprint": submission.fingerprint,
        "answer": "{}",
        "received_at": now,
        "trace_id": submission.trace_id,
    }


def _to_order_row(order: Order) -> OrderRow:
    terms = order.terms
    return OrderRow(
        id=order.id,
        account_id=order.account_id,
        signal_id=order.signal_id,
        trace_id=order.trace_id,
        side=terms.side,
        symbol=terms.symbol,
        order_type=terms.order_type,
        entry=terms.entry,
        stop_loss=terms.stop_loss,
        take_profits=list(terms.take_profits),
        quantity=terms.quantity,
        profile=order.profile,
        status=order.status,
        attempts=0,
        version=1,
        created_at=order.created_at,
        updated_at=order.updated_at,
    )
