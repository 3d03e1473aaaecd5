"""The tables. Prices are NUMERIC without a scale, so that `1.0860` keeps its last digit; times are TIMESTAMPTZ.

Signals, orders and events carry no foreign keys: each is written in one transaction with what it refers to, and the
checks would cost a busy service as much as the rows themselves.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from advanced_alchemy.base import DefaultBase
from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Text,
    Uuid,
    case,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

_UUID = Uuid(as_uuid=False)
_NOW = func.now()

_FIRST_TIME: ColumnElement[datetime] = literal_column("'0001-01-01 00:00:00+00'::timestamptz")
_LAST_TIME: ColumnElement[datetime] = literal_column("'9999-12-31 23:59:59.999999+00'::timestamptz")
_INFINITY: ColumnElement[datetime] = literal_column("'infinity'::timestamptz")


class StoredTime(DateTimeUTC):
    """A time in UTC. One that Python has no value for, such as a year before Christ, is read as `datetime.max`.

    The driver cannot decode such a value, and its error would be that of the whole result, with all other rows.
    """

    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return case((~column.between(_FIRST_TIME, _LAST_TIME), _INFINITY), else_=column)


class AccountRow(DefaultBase):
    """`last_seq` and `last_hash` are the head of the account's log; they change only with its events."""

    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(_UUID, primary_key=True)
    username: Mapped[str] = mapped_column(Text, unique=True)
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    last_hash: Mapped[bytes] = mapped_column(LargeBinary, server_default=text("''::bytea"))
    created_at: Mapped[datetime] = mapped_column(StoredTime, server_default=_NOW)


class BrokerAccountRow(DefaultBase):
    """An account at a broker. `secret` is a Fernet token; the account's id inside it binds it to this row."""

    __tablename__ = "broker_accounts"
    __table_args__ = (Index("uq_broker_accounts_number", "account_id", "broker_name", "number", unique=True),)

    id: Mapped[str] = mapped_column(_UUID, primary_key=True)
    account_id: Mapped[str] = mapped_column(_UUID, ForeignKey("accounts.id"))
    broker_name: Mapped[str] = mapped_column(Text)
    number: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(StoredTime, server_default=_NOW)


class ApiKeyRow(DefaultBase):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(_UUID, ForeignKey("accounts.id"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    label: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(StoredTime, server_default=_NOW)
    expires_at: Mapped[datetime | None] = mapped_column(StoredTime)
    last_used_at: Mapped[datetime | None] = mapped_column(StoredTime)
    revoked_at: Mapped[datetime | None] = mapped_column(StoredTime)


class HookRow(DefaultBase):
    """A URL that may write signals. `secret` (a Fernet token) makes signatures mandatory.

    The `previous_…` columns are of the token and the secret before the last rotation, which work until their times.
    """

    __tablename__ = "hooks"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(_UUID, ForeignKey("accounts.id"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    label: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_digest_until: Mapped[datetime | None] = mapped_column(StoredTime)
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_until: Mapped[datetime | None] = mapped_column(StoredTime)
    duplicate_window_s: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(StoredTime, server_default=_NOW)
    last_used_at: Mapped[datetime | None] = mapped_column(StoredTime)
    revoked_at: Mapped[datetime | None] = mapped_column(StoredTime)


class TicketRow(DefaultBase):
    """A stream ticket or a sign-in link, for one use: redeeming it deletes the row."""

    __tablename__ = "tickets"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    purpose: Mapped[str] = mapped_column(Text)
    key_id: Mapped[str] = mapped_column(Text, ForeignKey("api_keys.id"), index=True)
    expires_at: Mapped[datetime] = mapped_column(StoredTime, index=True)


class SignalRow(DefaultBase):
    """A text as it was sent, byte for byte, and its outcome. `answer` is the body of the 2xx, kept for a resend."""

    __tablename__ = "signals"
    __table_args__ = (
        Index(
            "uq_signals_idempotency_key",
            "account_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index(
            "ix_signals_duplicate_window",
            "hook_id",
            "fingerprint",
            postgresql_where=text("hook_id IS NOT NULL"),
        ),
    )

    account_id: Mapped[str] = mapped_column(_UUID, primary_key=True)
    id: Mapped[str] = mapped_column(_UUID, primary_key=True)
    credential_id: Mapped[str] = mapped_column(Text)
    hook_id: Mapped[str | None] = mapped_column(Text)
    is_accepted: Mapped[bool] = mapped_column(Boolean)
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    idempotency_key: Mapped[str | None] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(StoredTime)
    trace_id: Mapped[str] = mapped_column(Text)


class OrderRow(DefaultBase):
    """`due_at` is when the lifecycle next looks at the order; a worker that holds it has pushed it ahead (a lease).

    `claimed_at` is set meanwhile: a claim that finds it adds to `interruptions`, as the worker before has not saved its
    step. `closes` is the JSON of the parts that were closed.
    """

    __tablename__ = "orders"
    __table_args__ = (
        Index("ix_orders_account", "account_id", "id"),
        Index("ix_orders_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        CheckConstraint("quantity > 0 AND stop_loss > 0", name="positive"),
    )

    id: Mapped[str] = mapped_column(_UUID, primary_key=True)
    account_id: Mapped[str] = mapped_column(_UUID)
    signal_id: Mapped[str] = mapped_column(_UUID)
    trace_id: Mapped[str] = mapped_column(Text)
    side: Mapped[str] = mapped_column(Text)
    symbol: Mapped[str] = mapped_column(Text)
    order_type: Mapped[str] = mapped_column(Text)
    entry: Mapped[Decimal | None] = mapped_column(Numeric)
    entry_high: Mapped[Decimal | None] = mapped_column(Numeric)
    stop_loss: Mapped[Decimal] = mapped_column(Numeric)
    take_profits: Mapped[list[Decimal]] = mapped_column(ARRAY(Numeric))
    quantity: Mapped[Decimal] = mapped_column(Numeric)
    profile: Mapped[str] = mapped_column(Text)
    simulate: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[datetime | None] = mapped_column(StoredTime)
    status: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    broker_order_id: Mapped[str | None] = mapped_column(Text)
    fill_price: Mapped[Decimal | None] = mapped_column(Numeric)
    filled_at: Mapped[datetime | None] = mapped_column(StoredTime)
    close_price: Mapped[Decimal | None] = mapped_column(Numeric)
    closed_at: Mapped[datetime | None] = mapped_column(StoredTime)
    close_reason: Mapped[str | None] = mapped_column(Text)
    closes: Mapped[str | None] = mapped_column(Text)
    pnl: Mapped[Decimal | None] = mapped_column(Numeric)
    pnl_currency: Mapped[str | None] = mapped_column(Text)
    pips: Mapped[Decimal | None] = mapped_column(Numeric)
    r_multiple: Mapped[Decimal | None] = mapped_column(Numeric)
    mae: Mapped[Decimal | None] = mapped_column(Numeric)
    mfe: Mapped[Decimal | None] = mapped_column(Numeric)
    commission: Mapped[Decimal | None] = mapped_column(Numeric)
    attempts: Mapped[int] = mapped_column(Integer)
    next_attempt_at: Mapped[datetime | None] = mapped_column(StoredTime)
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(StoredTime)
    updated_at: Mapped[datetime] = mapped_column(StoredTime)
    due_at: Mapped[datetime | None] = mapped_column(StoredTime)
    claimed_at: Mapped[datetime | None] = mapped_column(StoredTime)
    interruptions: Mapped[Any] = mapped_column(JSONB, nullable=True)


class ShardRow(DefaultBase):
    """A part of the accounts, and the sweep that works on it until `leased_until` (see `db.shards`)."""

    __tablename__ = "shards"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    holder: Mapped[str] = mapped_column(Text, server_default=text("''"))
    leased_until: Mapped[datetime] = mapped_column(StoredTime, server_default=text("'-infinity'"))


class EventRow(DefaultBase):
    """The log. `body` is the JSON that travels, kept as text so that not a byte of it changes."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_signal", "signal_id", postgresql_where=text("signal_id IS NOT NULL")),)

    account_id: Mapped[str] = mapped_column(_UUID, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(StoredTime)
    order_id: Mapped[str | None] = mapped_column(_UUID)
    signal_id: Mapped[str | None] = mapped_column(_UUID)
    body: Mapped[str] = mapped_column(Text)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class InstallationRow(DefaultBase):
    """One row: the log's `epoch` and the database cluster in which it was made (see `db.epoch`)."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    epoch: Mapped[str] = mapped_column(Text)
    system_identifier: Mapped[int] = mapped_column(BigInteger)
    timeline: Mapped[int] = mapped_column(Integer)
