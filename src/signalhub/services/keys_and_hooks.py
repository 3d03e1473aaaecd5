"""API keys and hook URLs. Each change is an event in the account's log, committed in the same transaction.

A key or a hook token is returned once, by the call that creates it: the database keeps a digest.
"""

import base64
import os
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker

from db import event_log
from db.account_repositories import ApiKeyRepository, HookRepository, Repository
from db.tables import AccountRow, ApiKeyRow, BrokerAccountRow, HookRow
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import Event, NewEvent, Publish
from signalhub.services.auth import SCOPES, WRITE_SIGNALS, Scope
from signalhub.services.encryption import Encryption

Row = TypeVar("Row", ApiKeyRow, HookRow)
AnySession = AsyncSession | async_scoped_session[AsyncSession]


async def lock_credential(repository: Repository[Row], account_id: str, id_: str) -> Row:
    """Return the account's credential, locked. Raises `not_found`, also if it belongs to another account."""
    row = await repository.lock_owned(account_id, id_)
    if row is None:
        raise SignalHubError("not_found", "There is no such credential.")
    return row


async def revoke_credential(repository: Repository[Row], account_id: str, id_: str, event_type: str) -> list[Event]:
    """Revoke a credential and append the event. Revoking it again changes nothing and appends nothing."""
    row = await lock_credential(repository, account_id, id_)
    if row.revoked_at is not None:
        return []
    row.revoked_at = await read_database_time(repository.session)
    data = {"id": id_, "label": row.label}
    return await append_account_event(repository.session, account_id, event_type, data)


async def read_database_time(session: AnySession) -> datetime:
    """Return the time by which credentials begin and end: clocks of processes differ, the database has one."""
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return now


_IN_USE: Final[dict[type[Any], tuple[ColumnElement[bool], ...]]] = {
    ApiKeyRow: (
        ApiKeyRow.revoked_at.is_(None),
        or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > func.clock_timestamp()),
    ),
    HookRow: (HookRow.revoked_at.is_(None),),
    BrokerAccountRow: (),
}


async def check_room(
    session: AnySession,
    model: type[ApiKeyRow | HookRow | BrokerAccountRow],
    account_id: str,
    maximum: int,
    code: Literal["too_many_keys", "too_many_hooks", "too_many_broker_accounts"],
) -> None:
    """Raise `code` if the account has `maximum` rows in use. None is added until the transaction ends."""
    await session.execute(select(AccountRow.id).where(AccountRow.id == account_id).with_for_update())
    count = select(func.count()).select_from(model).where(model.account_id == account_id, *_IN_USE[model])
    if (await session.execute(count)).scalar_one() >= maximum:
        raise SignalHubError(code, f"An account has at most {maximum} of them. Remove one that is not needed any more.")


def check_grant(scopes: Collection[str], grantable: Collection[str]) -> None:
    """Raise `missing_scope` for a scope that the key which asks for it does not have itself."""
    for scope in scopes:
        if scope not in grantable:
            raise SignalHubError("missing_scope", f"A key grants only its own scopes, and this one lacks {scope}.")


async def append_account_event(
    session: AnySession, account_id: str, event_type: str, data: dict[str, str]
) -> list[Event]:
    """Append one event in the session's transaction, so that it commits together with the change it reports."""
    await session.flush()
    connection = await session.connection()
    heads = await event_log.lock_heads(connection, {account_id})
    new_event = NewEvent(type=event_type, account_id=account_id, data=data, trace_id=os.urandom(16).hex())
    return await event_log.append_events(connection, heads, [new_event])


def check_no_secret(field: str, value: str) -> None:
    """Raise ValueError if `value` contains a secret of this service: names are stored and published as they are."""
    if identifiers.mask_secrets(value).credentials:
        raise ValueError(f"{field} contains a credential of this service; leave it out")


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    label: str
    scopes: tuple[str, ...]
    created_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    api_key: str | None = None
    """The key itself; set only in the answer that created it."""


MAX_LABEL_LENGTH: Final = 150
Label = Annotated[
    str, msgspec.Meta(max_length=MAX_LABEL_LENGTH, extra_json_schema={"extra": {"pattern": r"^[^\u0000]*$"}})
]


def check_label(label: str) -> None:
    if len(label) > MAX_LABEL_LENGTH or "\0" in label:
        raise ValueError(f"label must be at most {MAX_LABEL_LENGTH} characters without NUL")
    check_no_secret("label", label)


MAX_OVERLAP_S: Final = 30 * 86_400
OverlapSeconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_OVERLAP_S)]


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: Label = ""
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1, max_length=len(SCOPES))] = SCOPES
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        check_label(self.label)
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            raise ValueError("expires_at needs a time zone, such as a final Z")


class ApiKeys:
    def __init__(self, engine: AsyncEngine, publish: Publish, *, max_active: int) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._publish, self._max_active = publish, max_active

    async def create(
        self,
        account_id: str,
        new_key: NewKey,
        *,
        grantable: Collection[str] = SCOPES,
        lifetime: timedelta | None = None,
    ) -> KeyView:
        """Create a key with scopes of `grantable`. Only this answer holds the key itself.

        `lifetime` sets when it expires by the database's clock. Raises `missing_scope`, `too_many_keys`.
        """
        check_grant(new_key.scopes, grantable)
        token, row = generate_api_key(
            account_id, label=new_key.label, scopes=new_key.scopes, expires_at=new_key.expires_at
        )
        async with self._sessions() as session:
            await check_room(session, ApiKeyRow, account_id, self._max_active, "too_many_keys")
            if lifetime is not None:
                row.expires_at = await read_database_time(session) + lifetime
            await ApiKeyRepository(session).add(row)
            events = await append_account_event(session, account_id, "key.created", {"id": row.id, "label": row.label})
            await session.commit()
        self._publish(events, ())
        return to_key_view(row, token.text)

    async def list_by_account(self, account_id: str) -> list[KeyView]:
        """Return the account's keys, oldest first, also those that are revoked or expired."""
        async with self._sessions() as session:
            return [
                to_key_view(row) for row in await ApiKeyRepository(session).list_by_account(account_id, "created_at")
            ]

    async def rotate(
        self, account_id: str, key_id: str, overlap_s: int, *, grantable: Collection[str] = SCOPES
    ) -> KeyView:
        """Create a key with the label, scopes and expiry of an old one, which works for `overlap_s` longer.

        Raises `not_found`, `inactive_credential`, `missing_scope`, `too_many_keys`.
        """
        async with self._sessions() as session:
            keys = ApiKeyRepository(session)
            old, now = await lock_credential(keys, account_id, key_id), await read_database_time(session)
            if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
                raise SignalHubError("inactive_credential", "A revoked or expired key is not rotated: create another.")
            check_grant(old.scopes, grantable)
            await check_room(session, ApiKeyRow, account_id, self._max_active, "too_many_keys")
            # The label is not checked again: earlier versions allowed longer ones.
            token, row = generate_api_key(account_id, label=old.label, scopes=old.scopes, expires_at=old.expires_at)
            ends_at = now + timedelta(seconds=overlap_s)
            old.expires_at = min(ends_at, old.expires_at or ends_at)
            await keys.add(row)
            events = await append_account_event(session, account_id, "key.rotated", {"id": row.id, "replaces": old.id})
            await session.commit()
        self._publish(events, ())
        return to_key_view(row, token.text)

    async def revoke(self, account_id: str, key_id: str) -> None:
        """Revoke a key; within 5 s it opens nothing any more. Raises `not_found`."""
        async with self._sessions() as session:
            events = await revoke_credential(ApiKeyRepository(session), account_id, key_id, "key.revoked")
            await session.commit()
        self._publish(events, ())


def generate_api_key(
    account_id: str, *, label: str, scopes: Sequence[str] = SCOPES, expires_at: datetime | None = None
) -> tuple[identifiers.Token, ApiKeyRow]:
    """Generate a key and the row to store for it."""
    token = identifiers.mint_token(identifiers.API_KEY_PREFIX, _generate_entropy())
    row = ApiKeyRow(
        id=token.id,
        account_id=account_id,
        digest=token.digest,
        label=label,
        scopes=list(dict.fromkeys(scopes)),
        expires_at=expires_at,
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


_MAX_DUPLICATE_WINDOW_S = 86_400


class HookView(msgspec.Struct, frozen=True, kw_only=True):
    """A hook without its secrets: `token`, `path` and `secret` are set only in the answer that created it."""

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
    overlap_ends_at: datetime | None = None
    """When what a rotation has replaced stops working; set only in the answer of the rotation."""


class NewHook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`is_signed` generates a Standard Webhooks secret; the hook then rejects requests without a valid signature."""

    label: Label = ""
    is_signed: bool = False
    duplicate_window_s: Annotated[int, msgspec.Meta(ge=0, le=_MAX_DUPLICATE_WINDOW_S)] = 0

    def __post_init__(self) -> None:
        check_label(self.label)
        # The bounds of Meta hold where JSON is decoded only.
        if not 0 <= self.duplicate_window_s <= _MAX_DUPLICATE_WINDOW_S:
            raise ValueError(f"duplicate_window_s must be from 0 to {_MAX_DUPLICATE_WINDOW_S}")


class HookRotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a hook to replace, both unless `only` says one, and for how long the old ones go on working."""

    overlap_s: OverlapSeconds = 86_400
    only: Literal["token", "secret"] | None = None


class Hooks:
    def __init__(self, engine: AsyncEngine, encryption: Encryption, publish: Publish, *, max_active: int) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._encryption, self._publish, self._max_active = encryption, publish, max_active

    async def create(self, account_id: str, new_hook: NewHook, *, grantable: Collection[str] = SCOPES) -> HookView:
        """Create a hook, which grants `signals:write`. Only this answer holds its URL and secret.

        Raises `missing_scope`, `too_many_hooks`.
        """
        check_grant((WRITE_SIGNALS,), grantable)
        token = identifiers.mint_token(identifiers.HOOK_PREFIX, _generate_entropy())
        secret = _generate_hook_secret() if new_hook.is_signed else None
        row = HookRow(
            id=token.id,
            account_id=account_id,
            digest=token.digest,
            label=new_hook.label,
            secret=self._encryption.encrypt(hook_secret_context(token.id), secret) if secret else None,
            duplicate_window_s=new_hook.duplicate_window_s,
        )
        async with self._sessions() as session:
            await check_room(session, HookRow, account_id, self._max_active, "too_many_hooks")
            await HookRepository(session).add(row)
            events = await append_account_event(session, account_id, "hook.created", {"id": row.id, "label": row.label})
            await session.commit()
        self._publish(events, ())
        return to_hook_view(row, token.text, secret)

    async def rotate(
        self, account_id: str, hook_id: str, rotation: HookRotation, *, grantable: Collection[str] = SCOPES
    ) -> HookView:
        """Replace a hook's token, its secret, or both; the old ones work until the overlap ends.

        Only this answer holds the new ones. Raises `not_found`, `inactive_credential`, `missing_scope`, and
        `invalid_request` for the secret of a hook that has none.
        """
        check_grant((WRITE_SIGNALS,), grantable)
        token: identifiers.Token | None = None
        secret: str | None = None
        async with self._sessions() as session:
            row = await lock_credential(HookRepository(session), account_id, hook_id)
            ends_at = await read_database_time(session) + timedelta(seconds=rotation.overlap_s)
            if row.revoked_at is not None:
                raise SignalHubError("inactive_credential", "A revoked hook is not rotated: create another.")
            if row.secret is None and rotation.only == "secret":
                raise SignalHubError("invalid_request", "only: this hook has no secret.")
            if rotation.only != "secret":
                token = identifiers.mint_token(identifiers.HOOK_PREFIX, _generate_entropy(), id_=hook_id)
                row.previous_digest, row.previous_digest_until = row.digest, ends_at
                row.digest = token.digest
            if row.secret is not None and rotation.only != "token":
                secret = _generate_hook_secret()
                row.previous_secret, row.previous_secret_until = row.secret, ends_at
                row.secret = self._encryption.encrypt(hook_secret_context(hook_id), secret)
            events = await append_account_event(session, account_id, "hook.rotated", {"id": row.id, "label": row.label})
            await session.commit()
        self._publish(events, ())
        return msgspec.structs.replace(
            to_hook_view(row, token.text if token else None, secret), overlap_ends_at=ends_at
        )

    async def list_by_account(self, account_id: str) -> list[HookView]:
        """Return the account's hooks, oldest first, also those that are revoked."""
        async with self._sessions() as session:
            return [
                to_hook_view(row) for row in await HookRepository(session).list_by_account(account_id, "created_at")
            ]

    async def revoke(self, account_id: str, hook_id: str) -> None:
        """Revoke a hook; within 5 s its URL accepts nothing any more. Raises `not_found`."""
        async with self._sessions() as session:
            events = await revoke_credential(HookRepository(session), account_id, hook_id, "hook.revoked")
            await session.commit()
        self._publish(events, ())

    async def rotate_secrets(self) -> int:
        """Encrypt every hook's secret again under the first encryption key and return how many there are."""
        async with self._sessions() as session:
            hooks = HookRepository(session)
            statement = hooks.statement.where(HookRow.secret.is_not(None)).with_for_update()
            rows = await hooks.get_many(statement=statement)
            for row in rows:
                if row.secret is not None:
                    row.secret = self._encryption.rotate(row.secret)
                if row.previous_secret is not None:
                    row.previous_secret = self._encryption.rotate(row.previous_secret)
            await session.commit()
        return len(rows)


def _generate_entropy() -> bytes:
    return os.urandom(identifiers.TOKEN_ENTROPY_BYTES)


def _generate_hook_secret() -> str:
    """Return a Standard Webhooks secret of 256 bits."""
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


def hook_secret_context(hook_id: str) -> str:
    """Return the context that a hook's encrypted secret is bound to."""
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
