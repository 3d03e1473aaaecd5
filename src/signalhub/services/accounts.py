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
from signalhub.domain.ids import uuid7
from signalhub.services import keys, owned
from signalhub.services.intake import Announce
from signalhub.services.vault import Vault


class NewBrokerAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`api_key` is the broker's secret; it is sealed before it is stored."""

    broker_name: str
    account_id: str
    api_key: str

    def __post_init__(self) -> None:
        for name in ("broker_name", "account_id", "api_key"):
            _check(name, getattr(self, name))


class Registration(NewBrokerAccount, frozen=True, kw_only=True, forbid_unknown_fields=True):
    username: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("username", self.username)


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
    def __init__(self, engine: AsyncEngine, vault: Vault, announce: Announce) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._vault, self._announce = vault, announce

    async def register(self, wish: Registration) -> Registered:
        """A new account, its broker account and its first key. Raises `username_taken`."""
        account_id = _new_id()
        account = AccountRow(id=account_id, username=wish.username)
        token, key = keys.mint(account_id, keys.NewKey(label="first"))
        broker_account = self._broker_account(account_id, wish)
        async with self._sessions() as session:
            session.add(account)
            try:
                await session.flush()
            except IntegrityError:
                raise SignalHubError("username_taken", f"There is a user {wish.username!r} already.") from None
            session.add_all([key, broker_account])
            data = {"username": wish.username, "broker_name": wish.broker_name}
            events = await owned.log(session, account_id, "account.created", data)
            await session.commit()
        self._announce(events, ())
        return Registered(
            api_key=token.text, user=User(account_id, wish.username), broker_account=_view(broker_account)
        )

    async def add_broker_account(self, account_id: str, wish: NewBrokerAccount) -> BrokerAccountView:
        """Raises `broker_account_taken`."""
        row = self._broker_account(account_id, wish)
        async with self._sessions() as session:
            session.add(row)
            try:
                await session.flush()
            except IntegrityError:
                raise SignalHubError("broker_account_taken", "This broker account is linked already.") from None
            data = {"id": row.id, "broker_name": row.broker_name}
            events = await owned.log(session, account_id, "account.broker_added", data)
            await session.commit()
        self._announce(events, ())
        return _view(row)

    async def broker_accounts(self, account_id: str) -> list[BrokerAccountView]:
        mine = select(BrokerAccountRow).where(BrokerAccountRow.account_id == account_id)
        async with self._sessions() as session:
            return [_view(row) for row in await session.scalars(mine.order_by(BrokerAccountRow.id))]

    async def remove_broker_account(self, account_id: str, id_: str) -> None:
        """Raises `not_found`. The secret goes with the row."""
        mine = select(BrokerAccountRow).where(BrokerAccountRow.id == id_, BrokerAccountRow.account_id == account_id)
        async with self._sessions() as session:
            row = (await session.scalars(mine.with_for_update())).one_or_none()
            if row is None:
                raise SignalHubError("not_found", "There is no such broker account.")
            await session.delete(row)
            events = await owned.log(session, account_id, "account.broker_removed", {"id": id_})
            await session.commit()
        self._announce(events, ())

    async def find(self, username: str) -> str | None:
        """The id of the account of this name."""
        async with self._sessions() as session:
            return await session.scalar(select(AccountRow.id).where(AccountRow.username == username))

    async def rotate_secrets(self) -> int:
        """Seal every broker secret anew under the first encryption key; the answer counts them."""
        async with self._sessions() as session:
            rows = (await session.scalars(select(BrokerAccountRow).with_for_update())).all()
            for row in rows:
                row.secret = self._vault.rotate(row.secret)
            await session.commit()
        return len(rows)

    def _broker_account(self, account_id: str, wish: NewBrokerAccount) -> BrokerAccountRow:
        id_ = _new_id()
        return BrokerAccountRow(
            id=id_,
            account_id=account_id,
            broker_name=wish.broker_name,
            number=wish.account_id,
            secret=self._vault.seal(f"broker account {id_}", wish.api_key),
            is_active=True,
        )


def _check(name: str, text: str) -> None:
    if not 1 <= len(text) <= 150 or not text.isprintable() or text != text.strip():  # noqa: PLR2004 - a name's length
        raise ValueError(f"{name} must be 1 to 150 printable characters without blanks around them")


def _new_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def _view(row: BrokerAccountRow) -> BrokerAccountView:
    return BrokerAccountView(
        id=row.id,
        broker_name=row.broker_name,
        account_id=row.number,
        is_active=row.is_active,
        created_at=row.created_at,
    )
