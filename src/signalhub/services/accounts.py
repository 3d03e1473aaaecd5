"""Accounts and their broker accounts. A registration is all or nothing: one transaction, nothing half made."""

import os
import time
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from db.tables import AccountRow, BrokerAccountRow
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import Publish
from signalhub.domain.identifiers import uuid7
from signalhub.services import credentials
from signalhub.services.encryption import Encryption


class NewBrokerAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`api_key` is the broker's secret; it is sealed before it is stored."""

    broker_name: str
    account_id: str
    api_key: str

    def __post_init__(self) -> None:
        for name in ("broker_name", "account_id", "api_key"):
            _check_name(name, getattr(self, name))


class Registration(NewBrokerAccount, frozen=True, kw_only=True, forbid_unknown_fields=True):
    username: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_name("username", self.username)


class BrokerAccountView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    broker_name: str
    account_id: str
    is_active: bool
    created_at: datetime | None


class User(msgspec.Struct, frozen=True):
    id: str
    username: str


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    message: str = "Account created successfully."
    api_key: str
    user: User
    broker_account: BrokerAccountView


class Accounts:
    def __init__(self, engine: AsyncEngine, encryption: Encryption, publish: Publish) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._encryption, self._publish = encryption, publish

    async def register(self, registration: Registration) -> Registered:
        """A new account, its broker account and its first key. Raises `username_taken`."""
        account_id = _generate_id()
        account = AccountRow(id=account_id, username=registration.username)
        token, key = credentials.generate_api_key(account_id, credentials.NewKey(label="first"))
        broker_account = self._build_broker_account(account_id, registration)
        async with self._sessions() as session:
            session.add(account)
            try:
                await session.flush()
            except IntegrityError:
                raise SignalHubError("username_taken", f"There is a user {registration.username!r} already.") from None
            session.add_all([key, broker_account])
            data = {"username": registration.username, "broker_name": registration.broker_name}
            events = await credentials.append_account_event(session, account_id, "account.created", data)
            await session.commit()
        self._publish(events, ())
        return Registered(
            api_key=token.text,
            user=User(account_id, registration.username),
            broker_account=_to_broker_account_view(broker_account),
        )

    async def add_broker_account(self, account_id: str, new_broker_account: NewBrokerAccount) -> BrokerAccountView:
        """Raises `broker_account_taken`."""
        row = self._build_broker_account(account_id, new_broker_account)
        async with self._sessions() as session:
            session.add(row)
            try:
                await session.flush()
            except IntegrityError:
                raise SignalHubError("broker_account_taken", "This broker account is linked already.") from None
            data = {"id": row.id, "broker_name": row.broker_name}
            events = await credentials.append_account_event(session, account_id, "account.broker_added", data)
            await session.commit()
        self._publish(events, ())
        return _to_broker_account_view(row)

    async def list_broker_accounts(self, account_id: str) -> list[BrokerAccountView]:
        mine = select(BrokerAccountRow).where(BrokerAccountRow.account_id == account_id)
        async with self._sessions() as session:
            return [_to_broker_account_view(row) for row in await session.scalars(mine.order_by(BrokerAccountRow.id))]

    async def remove_broker_account(self, account_id: str, broker_account_id: str) -> None:
        """Raises `not_found`. The secret goes with the row."""
        mine = select(BrokerAccountRow).where(
            BrokerAccountRow.id == broker_account_id, BrokerAccountRow.account_id == account_id
        )
        async with self._sessions() as session:
            row = (await session.scalars(mine.with_for_update())).one_or_none()
            if row is None:
                raise SignalHubError("not_found", "There is no such broker account.")
            await session.delete(row)
            events = await credentials.append_account_event(
                session, account_id, "account.broker_removed", {"id": broker_account_id}
            )
            await session.commit()
        self._publish(events, ())

    async def find_account_id(self, username: str) -> str | None:
        """The id of the account of this name."""
        async with self._sessions() as session:
            return await session.scalar(select(AccountRow.id).where(AccountRow.username == username))

    async def rotate_secrets(self) -> int:
        """Seal every broker secret anew under the first encryption key; the answer counts them."""
        async with self._sessions() as session:
            rows = (await session.scalars(select(BrokerAccountRow).with_for_update())).all()
            for row in rows:
                row.secret = self._encryption.rotate(row.secret)
            await session.commit()
        return len(rows)

    def _build_broker_account(self, account_id: str, new_broker_account: NewBrokerAccount) -> BrokerAccountRow:
        id_ = _generate_id()
        return BrokerAccountRow(
            id=id_,
            account_id=account_id,
            broker_name=new_broker_account.broker_name,
            number=new_broker_account.account_id,
            secret=self._encryption.encrypt(f"broker account {id_}", new_broker_account.api_key),
            is_active=True,
        )


def _check_name(field: str, value: str) -> None:
    if not 1 <= len(value) <= 150 or not value.isprintable() or value != value.strip():  # noqa: PLR2004 - a name's length
        raise ValueError(f"{field} must be 1 to 150 printable characters without blanks around them")


def _generate_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def _to_broker_account_view(row: BrokerAccountRow) -> BrokerAccountView:
    return BrokerAccountView(
        id=row.id,
        broker_name=row.broker_name,
        account_id=row.number,
        is_active=row.is_active,
        created_at=row.created_at,
    )
