"""Accounts and their broker accounts. A registration creates account, broker account and key in one transaction."""

import os
import re
import time
from datetime import datetime
from typing import Annotated, Final

import msgspec
from advanced_alchemy.filters import OrderBy
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from db.account_repositories import AccountRepository, ApiKeyRepository, BrokerAccountRepository
from db.tables import AccountRow, BrokerAccountRow
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import Publish
from signalhub.domain.identifiers import uuid7
from signalhub.services import keys_and_hooks
from signalhub.services.encryption import Encryption

# Characters that show nothing, or change how others show: controls, formats, private use, blanks other than a space.
_INVISIBLE: Final = (
    r"\u0000-\u001f\u007f-\u00a0\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u3000\ue000-\uf8ff\ufeff\ufff0-\uffff"
    "\U000e0000-\U0010ffff"
)
MAX_NAME_LENGTH: Final = 150
# One quantifier: generators of test data take minutes for a pattern with more.
NAME_PATTERN: Final = f"^(?! )[^{_INVISIBLE}]{{1,{MAX_NAME_LENGTH}}}(?<! )$"
# The pattern is checked in `_check_name`, whose message is a sentence; here it is for the OpenAPI document.
Name = Annotated[str, msgspec.Meta(extra_json_schema={"extra": {"pattern": NAME_PATTERN}})]


class NewBrokerAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`api_key` is the broker's secret; it is encrypted before it is stored."""

    broker_name: Name
    account_id: Name
    api_key: Name

    def __post_init__(self) -> None:
        for name in ("broker_name", "account_id", "api_key"):
            _check_name(name, getattr(self, name))
        for name in ("broker_name", "account_id"):
            keys_and_hooks.check_no_secret(name, getattr(self, name))


class Registration(NewBrokerAccount, frozen=True, kw_only=True, forbid_unknown_fields=True):
    username: Name

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_name("username", self.username)
        keys_and_hooks.check_no_secret("username", self.username)


class BrokerAccountView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    broker_name: str
    account_id: str
    is_active: bool
    created_at: datetime | None


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """An account as operators see it; `last_seq` is the number of events in its log so far."""

    id: str
    username: str
    created_at: datetime | None
    last_seq: int


class User(msgspec.Struct, frozen=True):
    id: str
    username: str


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """`user_id` repeats the user's id for the older clients."""

    message: str = "Account created successfully."
    api_key: str
    user: User
    broker_account: BrokerAccountView
    user_id: str


class Accounts:
    def __init__(
        self, engine: AsyncEngine, encryption: Encryption, publish: Publish, *, max_broker_accounts: int
    ) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._encryption, self._publish, self._max_broker_accounts = encryption, publish, max_broker_accounts

    async def register(self, registration: Registration) -> Registered:
        """Create an account, its broker account and its first key. Raises `username_taken`."""
        account_id = _generate_id()
        account = AccountRow(id=account_id, username=registration.username)
        token, key = keys_and_hooks.generate_api_key(account_id, label="first")
        broker_account = self._build_broker_account(account_id, registration)
        async with self._sessions() as session:
            try:
                await AccountRepository(session).add(account)
            except IntegrityError:
                raise SignalHubError("username_taken", f"There is a user {registration.username!r} already.") from None
            await ApiKeyRepository(session).add(key)
            await BrokerAccountRepository(session).add(broker_account)
            data = {"username": registration.username, "broker_name": registration.broker_name}
            events = await keys_and_hooks.append_account_event(session, account_id, "account.created", data)
            await session.commit()
        self._publish(events, ())
        return Registered(
            api_key=token.text,
            user=User(account_id, registration.username),
            broker_account=_to_broker_account_view(broker_account),
            user_id=account_id,
        )

    async def add_broker_account(self, account_id: str, new_broker_account: NewBrokerAccount) -> BrokerAccountView:
        """Link a broker account. Raises `broker_account_taken`, `too_many_broker_accounts`."""
        row = self._build_broker_account(account_id, new_broker_account)
        async with self._sessions() as session:
            await keys_and_hooks.check_room(
                session, BrokerAccountRow, account_id, self._max_broker_accounts, "too_many_broker_accounts"
            )
            try:
                await BrokerAccountRepository(session).add(row)
            except IntegrityError:
                raise SignalHubError("broker_account_taken", "This broker account is linked already.") from None
            data = {"id": row.id, "broker_name": row.broker_name}
            events = await keys_and_hooks.append_account_event(session, account_id, "account.broker_added", data)
            await session.commit()
        self._publish(events, ())
        return _to_broker_account_view(row)

    async def list_broker_accounts(self, account_id: str) -> list[BrokerAccountView]:
        """Return the account's broker accounts, in the order of their creation."""
        async with self._sessions() as session:
            rows = await BrokerAccountRepository(session).list_by_account(account_id, "id")
        return [_to_broker_account_view(row) for row in rows]

    async def remove_broker_account(self, account_id: str, broker_account_id: str) -> None:
        """Delete a broker account together with its secret. Raises `not_found`."""
        async with self._sessions() as session:
            row = await BrokerAccountRepository(session).lock_owned(account_id, broker_account_id)
            if row is None:
                raise SignalHubError("not_found", "There is no such broker account.")
            await session.delete(row)
            events = await keys_and_hooks.append_account_event(
                session, account_id, "account.broker_removed", {"id": broker_account_id}
            )
            await session.commit()
        self._publish(events, ())

    async def find_account_id(self, username: str) -> str | None:
        """Return the id of the account of this name, None if there is none."""
        async with self._sessions() as session:
            account = await AccountRepository(session).get_one_or_none(username=username)
        return None if account is None else account.id

    async def list_all(self) -> list[AccountView]:
        """Return all accounts, the oldest first."""
        async with self._sessions() as session:
            rows = await AccountRepository(session).get_many(OrderBy("created_at", "asc"))
        return [
            AccountView(id=row.id, username=row.username, created_at=row.created_at, last_seq=row.last_seq)
            for row in rows
        ]

    async def rotate_secrets(self) -> int:
        """Encrypt every broker secret again under the first encryption key and return how many there are."""
        async with self._sessions() as session:
            broker_accounts = BrokerAccountRepository(session)
            rows = await broker_accounts.get_many(statement=broker_accounts.statement.with_for_update())
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
    if re.fullmatch(NAME_PATTERN, value) is None:
        raise ValueError(f"{field} must be 1 to {MAX_NAME_LENGTH} printable characters without blanks around them")


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
