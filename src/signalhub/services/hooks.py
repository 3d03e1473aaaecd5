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
from signalhub.services.intake import Announce
from signalhub.services.vault import Vault

_DAY_S = 86_400


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
        if not 0 <= self.duplicate_window_s <= _DAY_S:
            raise ValueError(f"duplicate_window_s must be from 0 to {_DAY_S}")


class Hooks:
    def __init__(self, engine: AsyncEngine, vault: Vault, announce: Announce) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._vault, self._announce = vault, announce

    async def create(self, account_id: str, wish: NewHook) -> HookView:
        token = tokens.mint(tokens.HOOK, os.urandom(tokens.ENTROPY))
        secret = "whsec_" + base64.b64encode(os.urandom(32)).decode() if wish.is_signed else None
        row = HookRow(
            id=token.id,
            account_id=account_id,
            digest=token.digest,
            label=wish.label,
            secret=self._vault.seal(sealed_name(token.id), secret) if secret else None,
            duplicate_window_s=wish.duplicate_window_s,
        )
        async with self._sessions() as session:
            session.add(row)
            events = await owned.log(session, account_id, "hook.created", {"id": row.id, "label": row.label})
            await session.commit()
        self._announce(events, ())
        return view(row, token.text, secret)

    async def of(self, account_id: str) -> list[HookView]:
        mine = select(HookRow).where(HookRow.account_id == account_id).order_by(HookRow.created_at)
        async with self._sessions() as session:
            return [view(row) for row in await session.scalars(mine)]

    async def revoke(self, account_id: str, hook_id: str) -> None:
        """Raises `not_found`."""
        async with self._sessions() as session:
            events = await owned.revoke(session, HookRow, account_id, hook_id, "hook.revoked")
            await session.commit()
        self._announce(events, ())

    async def rotate_secrets(self) -> int:
        """Seal every hook's secret anew under the first encryption key; the answer counts them."""
        async with self._sessions() as session:
            signed = select(HookRow).where(HookRow.secret.is_not(None)).with_for_update()
            secrets = [(row, row.secret) for row in await session.scalars(signed) if row.secret is not None]
            for row, secret in secrets:
                row.secret = self._vault.rotate(secret)
            await session.commit()
        return len(secrets)


def sealed_name(hook_id: str) -> str:
    """What a hook's secret is bound to in the vault."""
    return f"hook {hook_id}"


def view(row: HookRow, text: str | None = None, secret: str | None = None) -> HookView:
    return HookView(
        id=row.id,
        label=row.label,
        is_signed=row.secret is not None,
        duplicate_window_s=row.duplicate_window_s,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        token=text,
        path=f"/hooks/{text}" if text else None,
        secret=secret,
    )
