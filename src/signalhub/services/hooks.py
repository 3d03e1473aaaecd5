"""Hook URLs: for senders that cannot set headers. A hook can write signals and nothing else."""

import base64
import os
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from db.tables import HookRow
from signalhub.domain import tokens
from signalhub.services import owned
from signalhub.services.intake import Publish
from signalhub.services.vault import Encryption

_MAX_DUPLICATE_WINDOW_S = 86_400


class HookView(msgspec.Struct, frozen=True, kw_only=True):
    """`token`, `path` and `secret` are in the answer that made the hook and never again."""

    id: str
    label: str
    is_signed: bool
    duplicate_window_s: int
    created_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    token: str | None = None
    path: str | None = None
    secret: str | None = None


class NewHook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`is_signed` makes a Standard Webhooks secret, without which nothing is accepted then."""

    label: str = ""
    is_signed: bool = False
    duplicate_window_s: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.duplicate_window_s <= _MAX_DUPLICATE_WINDOW_S:
            raise ValueError(f"duplicate_window_s must be from 0 to {_MAX_DUPLICATE_WINDOW_S}")


class Hooks:
    def __init__(self, engine: AsyncEngine, encryption: Encryption, publish: Publish) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._encryption, self._publish = encryption, publish

    async def create(self, account_id: str, new_hook: NewHook) -> HookView:
        token = tokens.mint_token(tokens.HOOK_PREFIX, os.urandom(tokens.TOKEN_ENTROPY_BYTES))
        secret = "whsec_" + base64.b64encode(os.urandom(32)).decode() if new_hook.is_signed else None
        row = HookRow(
            id=token.id,
            account_id=account_id,
            digest=token.digest,
            label=new_hook.label,
            secret=self._encryption.encrypt(hook_secret_context(token.id), secret) if secret else None,
            duplicate_window_s=new_hook.duplicate_window_s,
        )
        async with self._sessions() as session:
            session.add(row)
            events = await owned.append_account_event(
                session, account_id, "hook.created", {"id": row.id, "label": row.label}
            )
            await session.commit()
        self._publish(events, ())
        return to_hook_view(row, token.text, secret)

    async def list_by_account(self, account_id: str) -> list[HookView]:
        mine = select(HookRow).where(HookRow.account_id == account_id).order_by(HookRow.created_at)
        async with self._sessions() as session:
            return [to_hook_view(row) for row in await session.scalars(mine)]

    async def revoke(self, account_id: str, hook_id: str) -> None:
        """Raises `not_found`."""
        async with self._sessions() as session:
            events = await owned.revoke_credential(session, HookRow, account_id, hook_id, "hook.revoked")
            await session.commit()
        self._publish(events, ())

    async def rotate_secrets(self) -> int:
        """Seal every hook's secret anew under the first encryption key; the answer counts them."""
        async with self._sessions() as session:
            signed = select(HookRow).where(HookRow.secret.is_not(None)).with_for_update()
            secrets = [(row, row.secret) for row in await session.scalars(signed) if row.secret is not None]
            for row, secret in secrets:
                row.secret = self._encryption.rotate(secret)
            await session.commit()
        return len(secrets)


def hook_secret_context(hook_id: str) -> str:
    """What a hook's secret is bound to in the vault."""
    return f"hook {hook_id}"


def to_hook_view(row: HookRow, token_text: str | None = None, secret: str | None = None) -> HookView:
    return HookView(
        id=row.id,
        label=row.label,
        is_signed=row.secret is not None,
        duplicate_window_s=row.duplicate_window_s,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        token=token_text,
        path=f"/hooks/{token_text}" if token_text else None,
        secret=secret,
    )
