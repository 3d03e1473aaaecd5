"""Authenticate API keys and hook tokens.

Credentials are cached for 2 s in each process, so a revoked or expired key works for at most 2 s longer. Whether one is
expired is decided by the database's clock: a process may have another.
"""

import asyncio
from collections.abc import Iterable, Iterator
from functools import partial
from time import monotonic
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from sqlalchemy import ARRAY, ColumnElement, Table, Text, any_, bindparam, case, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from db.bulk import get_table
from db.engine import autocommit
from db.tables import ApiKeyRow, HookRow
from signalhub.concurrency import SingleFlight
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError

Scope = Literal["signals:write", "orders:read", "orders:write", "account:admin"]
WRITE_SIGNALS: Final = "signals:write"
READ_ORDERS: Final = "orders:read"
WRITE_ORDERS: Final = "orders:write"
ADMIN: Final = "account:admin"
SCOPES: Final[tuple[Scope, ...]] = (WRITE_SIGNALS, READ_ORDERS, WRITE_ORDERS, ADMIN)


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The account behind a request, and the key or hook that authenticated it."""

    account_id: str
    credential_id: str
    scopes: frozenset[str]

    def require_scope(self, scope: str) -> "Principal":
        """Return this principal. Raises `missing_scope`."""
        if scope not in self.scopes:
            raise SignalHubError("missing_scope", f"This needs a key with the scope {scope}.")
        return self


class HookPrincipal(Principal, frozen=True, kw_only=True):
    """`encrypted_secrets` is empty if the hook accepts unsigned signals; the previous one follows the current one."""

    encrypted_secrets: tuple[bytes, ...]
    duplicate_window_s: int


CREDENTIAL_CACHE_TTL_S: Final = 2.0
_READ_TIMEOUT_S: Final = 0.5
"""Limit of one read. With the commit that may follow, a sender gets an answer within two seconds."""

# Requests with thousands of unknown ids must not fill the memory.
_MAX_CACHED_CREDENTIALS: Final = 20_000
_EXPIRED_ENTRY: Final = (0.0, Principal(account_id="", credential_id="", scopes=frozenset()))


class _CachedKey(msgspec.Struct, frozen=True):
    id: str
    account_id: str
    digest: bytes
    scopes: list[str]
    is_revoked: bool
    is_expired: bool


class _CachedHook(msgspec.Struct, frozen=True):
    id: str
    account_id: str
    digest: bytes
    secret: bytes | None
    previous_digest: bytes | None
    previous_secret: bytes | None
    duplicate_window_s: int
    is_revoked: bool


Row = TypeVar("Row", _CachedKey, _CachedHook)


def list_columns(row_type: type[Row], table: Table) -> Iterator[ColumnElement[Any]]:
    """Yield a column or an expression for each field of a cached row."""
    columns = table.columns
    for name in row_type.__struct_fields__:
        if name == "is_revoked":  # at any time: one in the future is of a process whose clock is ahead
            yield columns.revoked_at.is_not(None)
        elif name == "is_expired":
            yield func.coalesce(columns.expires_at <= func.clock_timestamp(), False)
        elif name.startswith("previous_"):
            yield case((columns[f"{name}_until"] > func.clock_timestamp(), columns[name]))
        else:
            yield columns[name]


class _CredentialCache(Generic[Row]):
    """Rows by id, cached for CREDENTIAL_CACHE_TTL_S, also the knowledge that there is no such row.

    Read without a session: the first signal after a quiet time waits for this, and a session takes twice as long.
    """

    def __init__(self, engine: AsyncEngine, row_type: type[Row], model: type[ApiKeyRow | HookRow]) -> None:
        self._autocommit_engine = autocommit(engine)
        self._row_type: type[Row] = row_type
        table = get_table(model)
        self._select_row = select(*list_columns(row_type, table)).where(table.columns.id == bindparam("id"))
        self._entries: dict[str, tuple[float, Row | None]] = {}
        self._reads: SingleFlight[str, Row | None] = SingleFlight()

    def get(self, id_: str) -> tuple[bool, Row | None]:
        """Return whether the row is cached, and the row."""
        expires_at, row = self._entries.get(id_, (0.0, None))
        return (True, row) if expires_at >= monotonic() else (False, None)

    def expires_at(self, id_: str) -> float:
        """Return the time, on the monotonic clock, until which the row is cached."""
        return self._entries.get(id_, (0.0, None))[0]

    def extend(self, ids: Iterable[str], expires_at: float) -> None:
        """Keep those of these rows that are cached until `expires_at`."""
        for id_ in ids:
            if (entry := self._entries.get(id_)) is not None:
                self._entries[id_] = expires_at, entry[1]

    async def fetch(self, id_: str) -> Row | None:
        """Return the row, read from the database. Callers that ask for the same row at once share one read."""
        return await self._reads.run(id_, partial(self._load, id_))

    async def _load(self, id_: str) -> Row | None:
        # The age counts from before the read, or a key revoked during the read would work for longer.
        expires_at = monotonic() + CREDENTIAL_CACHE_TTL_S
        async with asyncio.timeout(_READ_TIMEOUT_S), self._autocommit_engine.connect() as connection:
            values = (await connection.execute(self._select_row, {"id": id_})).one_or_none()
        row = None if values is None else self._row_type(*values)
        if len(self._entries) > _MAX_CACHED_CREDENTIALS:
            self._entries.clear()
        self._entries[id_] = (expires_at, row)
        return row


class Authenticator:
    def __init__(self, engine: AsyncEngine) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._autocommit_engine = autocommit(engine)
        self._key_cache = _CredentialCache(engine, _CachedKey, ApiKeyRow)
        self._hook_cache = _CredentialCache(engine, _CachedHook, HookRow)
        self._used_credential_ids: set[str] = set()
        self._authenticated_keys: dict[str, tuple[float, Principal]] = {}

    async def authenticate_key(self, api_key: str) -> Principal:
        """Return the owner of an API key. Raises `mistyped_key`, `unknown_key`, `revoked_key`, `expired_key`."""
        expires_at, principal = self._authenticated_keys.get(api_key, _EXPIRED_ENTRY)
        if expires_at < monotonic():
            principal = await self._authenticate_uncached_key(api_key)
        return principal

    async def _authenticate_uncached_key(self, api_key: str) -> Principal:
        token = identifiers.parse_token(identifiers.API_KEY_PREFIX, api_key)
        is_known, row = self._key_cache.get(token.id)
        if not is_known:
            row = await self._key_cache.fetch(token.id)
        if row is None or not token.matches(row.digest):
            raise SignalHubError("unknown_key")
        principal = self._to_principal(row)
        # By the whole key: a busy sender's is not parsed and compared a thousand times in two seconds.
        if len(self._authenticated_keys) > _MAX_CACHED_CREDENTIALS:
            self._authenticated_keys.clear()
        self._authenticated_keys[api_key] = self._key_cache.expires_at(token.id), principal
        return principal

    async def authenticate_key_id(self, key_id: str) -> Principal:
        """Return the owner of a key that a cookie or ticket stands for.

        Raises `unknown_key`, `revoked_key`, `expired_key`.
        """
        is_known, row = self._key_cache.get(key_id)
        if not is_known:
            row = await self._key_cache.fetch(key_id)
        if row is None:
            raise SignalHubError("unknown_key")
        return self._to_principal(row)

    async def authenticate_hook(self, hook_token: str) -> HookPrincipal:
        """Return the owner of a hook URL. Raises `unknown_hook` for any fault, so that nobody can probe for tokens."""
        try:
            token = identifiers.parse_token(identifiers.HOOK_PREFIX, hook_token)
        except SignalHubError:
            raise SignalHubError("unknown_hook") from None
        is_known, row = self._hook_cache.get(token.id)
        if not is_known:
            row = await self._hook_cache.fetch(token.id)
        digests = () if row is None or row.is_revoked else (row.digest, row.previous_digest)
        if row is None or not any(digest is not None and token.matches(digest) for digest in digests):
            raise SignalHubError("unknown_hook")
        secrets = () if row.secret is None else (row.secret, row.previous_secret)
        self._used_credential_ids.add(row.id)
        return HookPrincipal(
            account_id=row.account_id,
            credential_id=row.id,
            scopes=frozenset({WRITE_SIGNALS}),
            encrypted_secrets=tuple(secret for secret in secrets if secret is not None),
            duplicate_window_s=row.duplicate_window_s,
        )

    def _to_principal(self, row: _CachedKey) -> Principal:
        if row.is_revoked:
            raise SignalHubError("revoked_key")
        if row.is_expired:
            raise SignalHubError("expired_key")
        self._used_credential_ids.add(row.id)
        return Principal(account_id=row.account_id, credential_id=row.id, scopes=frozenset(row.scopes))

    async def find_inactive_keys(self, key_ids: Iterable[str]) -> set[str]:
        """Return those of these keys that are revoked, expired or unknown now in the database.

        The active ones stay cached for another period, so a key with open streams is never read for a request.
        """
        polled_ids = list(key_ids)
        if not polled_ids:
            return set()
        expires_at = monotonic() + CREDENTIAL_CACHE_TTL_S
        select_active = select(ApiKeyRow.id).where(
            ApiKeyRow.id == any_(literal(polled_ids, ARRAY(Text))),  # one parameter, however many keys there are
            ApiKeyRow.revoked_at.is_(None),
            or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > func.clock_timestamp()),
        )
        async with self._autocommit_engine.connect() as connection:
            active_ids = set((await connection.scalars(select_active)).all())
        self._key_cache.extend(active_ids, expires_at)
        return set(polled_ids) - active_ids

    async def record_uses(self) -> None:
        """Store when the credentials used since the last call were used."""
        used_ids, self._used_credential_ids = self._used_credential_ids, set()
        if not used_ids:
            return
        async with self._sessions() as session:
            for model in (ApiKeyRow, HookRow):
                await session.execute(update(model).where(model.id.in_(used_ids)).values(last_used_at=func.now()))
            await session.commit()
