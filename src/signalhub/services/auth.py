"""Who is asking, and what for.

Telling who a credential belongs to, without asking the database each time.

What was read is believed for two seconds: that is how long a revoked key can still work, in any process.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Final, Generic, TypeVar

import msgspec
from sqlalchemy import ARRAY, Text, any_, bindparam, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from db.bulk import get_table
from db.engine import autocommit
from db.tables import ApiKeyRow, HookRow
from signalhub.concurrency import SingleFlight
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError

WRITE_SIGNALS: Final = "signals:write"
READ_ORDERS: Final = "orders:read"
WRITE_ORDERS: Final = "orders:write"
ADMIN: Final = "account:admin"
SCOPES: Final = (WRITE_SIGNALS, READ_ORDERS, WRITE_ORDERS, ADMIN)


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An account, by way of one of its keys or hooks."""

    account_id: str
    credential_id: str
    scopes: frozenset[str]

    def require_scope(self, scope: str) -> "Principal":
        """Itself, or raises `missing_scope`."""
        if scope not in self.scopes:
            raise SignalHubError("missing_scope", f"This needs a key with the scope {scope}.")
        return self


class HookPrincipal(Principal, frozen=True, kw_only=True):
    """`sealed_secret` is None where the hook takes unsigned signals."""

    encrypted_secret: bytes | None
    duplicate_window_s: int


CREDENTIAL_CACHE_TTL_S: Final = 2.0
_READ_TIMEOUT_S: Final = 0.5
"""For the database to answer. With the commit that may follow, a sender has his answer within two seconds."""
# Ids that do not exist, tried by the thousand, must not fill the memory.
_MAX_CACHED_CREDENTIALS: Final = 20_000
_EXPIRED_ENTRY: Final = (0.0, Principal(account_id="", credential_id="", scopes=frozenset()))


class _CachedKey(msgspec.Struct, frozen=True):
    id: str
    account_id: str
    digest: bytes
    scopes: list[str]
    expires_at: datetime | None
    revoked_at: datetime | None


class _CachedHook(msgspec.Struct, frozen=True):
    id: str
    account_id: str
    digest: bytes
    secret: bytes | None
    duplicate_window_s: int
    revoked_at: datetime | None


Row = TypeVar("Row", _CachedKey, _CachedHook)


class _CredentialCache(Generic[Row]):
    """Rows by id, each believed for BELIEVED_S; those who ask for the same at once share one read.

    Read without a session: the first signal after a quiet time waits for this, and a session takes twice as long.
    """

    def __init__(self, engine: AsyncEngine, row_type: type[Row], model: type[ApiKeyRow | HookRow]) -> None:
        self._autocommit_engine = autocommit(engine)
        self._row_type: type[Row] = row_type
        columns = get_table(model).columns
        self._select_row = select(*(columns[name] for name in row_type.__struct_fields__)).where(
            columns.id == bindparam("id")
        )
        self._entries: dict[str, tuple[float, Row | None]] = {}
        self._reads: SingleFlight[str, Row | None] = SingleFlight()

    def get(self, id_: str) -> tuple[bool, Row | None]:
        known = self._entries.get(id_)
        return (False, None) if known is None or known[0] < monotonic() else (True, known[1])

    def expires_at(self, id_: str) -> float:
        """When what is known of this row is to be believed no longer."""
        known = self._entries.get(id_)
        return 0.0 if known is None else known[0]

    def extend(self, ids: Iterable[str], expires_at: float) -> None:
        """Go on believing what is known of these rows."""
        for id_ in ids:
            if (known := self._entries.get(id_)) is not None:
                self._entries[id_] = expires_at, known[1]

    async def fetch(self, id_: str) -> Row | None:
        """Return the row, read from the database. Callers that ask for the same row at once share one read."""
        return await self._reads.run(id_, partial(self._load, id_))

    async def _load(self, id_: str) -> Row | None:
        # Its age counts from before the read, or a revocation during it could be believed away for longer.
        until = monotonic() + CREDENTIAL_CACHE_TTL_S
        async with asyncio.timeout(_READ_TIMEOUT_S), self._autocommit_engine.connect() as connection:
            found = (await connection.execute(self._select_row, {"id": id_})).one_or_none()
        row = None if found is None else self._row_type(*found)
        if len(self._entries) > _MAX_CACHED_CREDENTIALS:
            self._entries.clear()
        self._entries[id_] = (until, row)
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
        """Whose API key this is. Raises `mistyped_key`, `unknown_key`, `revoked_key`, `expired_key`."""
        until, principal = self._authenticated_keys.get(api_key, _EXPIRED_ENTRY)
        if until < monotonic():
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
        self._cache_principal(api_key, token.id, principal)
        return principal

    def _cache_principal(self, api_key: str, key_id: str, principal: Principal) -> None:
        """A busy sender's key need not be taken apart and compared a thousand times in two seconds."""
        if len(self._authenticated_keys) > _MAX_CACHED_CREDENTIALS:
            self._authenticated_keys.clear()
        self._authenticated_keys[api_key] = self._key_cache.expires_at(key_id), principal

    async def authenticate_key_id(self, key_id: str) -> Principal:
        """The same for a key that has proved itself before, as behind a cookie or a ticket."""
        is_known, row = self._key_cache.get(key_id)
        if not is_known:
            row = await self._key_cache.fetch(key_id)
        if row is None:
            raise SignalHubError("unknown_key")
        return self._to_principal(row)

    async def authenticate_hook(self, hook_token: str) -> HookPrincipal:
        """Whose hook URL this is. Raises `unknown_hook`, whatever is wrong with it."""
        try:
            token = identifiers.parse_token(identifiers.HOOK_PREFIX, hook_token)
        except SignalHubError:
            raise SignalHubError("unknown_hook") from None
        is_known, row = self._hook_cache.get(token.id)
        if not is_known:
            row = await self._hook_cache.fetch(token.id)
        if row is None or not token.matches(row.digest) or row.revoked_at is not None:
            raise SignalHubError("unknown_hook")
        self._used_credential_ids.add(row.id)
        return HookPrincipal(
            account_id=row.account_id,
            credential_id=row.id,
            scopes=frozenset({WRITE_SIGNALS}),
            encrypted_secret=row.secret,
            duplicate_window_s=row.duplicate_window_s,
        )

    def _to_principal(self, row: _CachedKey) -> Principal:
        if row.revoked_at is not None and row.revoked_at <= datetime.now(UTC):
            raise SignalHubError("revoked_key")
        if row.expires_at is not None and row.expires_at <= datetime.now(UTC):
            raise SignalHubError("expired_key")
        self._used_credential_ids.add(row.id)
        return Principal(account_id=row.account_id, credential_id=row.id, scopes=frozenset(row.scopes))

    async def find_inactive_keys(self, key_ids: Iterable[str]) -> set[str]:
        """Which of these keys no longer open anything, as the database has it now.

        Who asks for a key again and again, as for those of open streams, keeps it known: its next use need not wait.
        """
        asked = list(key_ids)
        if not asked:
            return set()
        until, now = monotonic() + CREDENTIAL_CACHE_TTL_S, datetime.now(UTC)
        alive = select(ApiKeyRow.id).where(
            ApiKeyRow.id == any_(literal(asked, ARRAY(Text))),  # one parameter, however many keys there are
            or_(ApiKeyRow.revoked_at.is_(None), ApiKeyRow.revoked_at > now),
            or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > now),
        )
        async with self._autocommit_engine.connect() as connection:
            living = set((await connection.scalars(alive)).all())
        self._key_cache.extend(living, until)
        return set(asked) - living

    async def record_uses(self) -> None:
        """Write down which credentials were used since the last time."""
        used, self._used_credential_ids = self._used_credential_ids, set()
        if not used:
            return
        async with self._sessions() as session:
            for model in (ApiKeyRow, HookRow):
                await session.execute(update(model).where(model.id.in_(used)).values(last_used_at=datetime.now(UTC)))
            await session.commit()
