"""API keys: made, listed, rotated, revoked. A key is shown once, in the answer that made it."""

import os
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from db.tables import ApiKeyRow
from signalhub.domain import tokens
from signalhub.services import owned
from signalhub.services.intake import Publish
from signalhub.services.principal import SCOPES


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    label: str
    scopes: tuple[str, ...]
    created_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    api_key: str | None = None
    """The key itself, in the answer that made it and never again."""


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: str = ""
    scopes: tuple[str, ...] = SCOPES
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        for scope in self.scopes:
            if scope not in SCOPES:
                raise ValueError(f"there is no scope {scope!r}; there are {', '.join(SCOPES)}")
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            raise ValueError("expires_at needs a time zone, such as a final Z")


class ApiKeys:
    def __init__(self, engine: AsyncEngine, publish: Publish) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._publish = publish

    async def create(self, account_id: str, new_key: NewKey) -> KeyView:
        token, row = generate_api_key(account_id, new_key)
        async with self._sessions() as session:
            session.add(row)
            events = await owned.append_account_event(
                session, account_id, "key.created", {"id": row.id, "label": row.label}
            )
            await session.commit()
        self._publish(events, ())
        return to_key_view(row, token.text)

    async def list_by_account(self, account_id: str) -> list[KeyView]:
        mine = select(ApiKeyRow).where(ApiKeyRow.account_id == account_id).order_by(ApiKeyRow.created_at)
        async with self._sessions() as session:
            return [to_key_view(row) for row in await session.scalars(mine)]

    async def rotate(self, account_id: str, key_id: str, overlap_s: int) -> KeyView:
        """A new key with the old one's label and scopes; the old one works for `overlap_s` more."""
        async with self._sessions() as session:
            old = await owned.lock_owned_row(session, ApiKeyRow, account_id, key_id)
            token, row = generate_api_key(account_id, NewKey(label=old.label, scopes=tuple(old.scopes)))
            ends_at = datetime.now(UTC) + timedelta(seconds=overlap_s)
            old.expires_at = min(ends_at, old.expires_at or ends_at)
            session.add(row)
            events = await owned.append_account_event(
                session, account_id, "key.rotated", {"id": row.id, "replaces": old.id}
            )
            await session.commit()
        self._publish(events, ())
        return to_key_view(row, token.text)

    async def revoke(self, account_id: str, key_id: str) -> None:
        """Raises `not_found`."""
        async with self._sessions() as session:
            events = await owned.revoke_credential(session, ApiKeyRow, account_id, key_id, "key.revoked")
            await session.commit()
        self._publish(events, ())


def generate_api_key(account_id: str, new_key: NewKey) -> tuple[tokens.Token, ApiKeyRow]:
    """A new key and the row to store for it."""
    token = tokens.mint_token(tokens.API_KEY_PREFIX, os.urandom(tokens.TOKEN_ENTROPY_BYTES))
    row = ApiKeyRow(
        id=token.id,
        account_id=account_id,
        digest=token.digest,
        label=new_key.label,
        scopes=list(new_key.scopes),
        expires_at=new_key.expires_at,
    )
    return token, row


def to_key_view(row: ApiKeyRow, key_text: str | None = None) -> KeyView:
    return KeyView(
        id=row.id,
        label=row.label,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        api_key=key_text,
    )
