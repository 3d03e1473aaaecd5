"""Telling who a credential belongs to, without asking the database each time.

What was read is believed for two seconds: that is how long a revoked key can still work, in any process.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Generic, TypeVar

import msgspec
from sqlalchemy import ARRAY, Text, any_, bindparam, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from db.bulk import table
from db.engine import at_once
from db.tables import ApiKeyRow, HookRow
from signalhub.domain import tokens
from signalhub.domain.errors import SignalHubError
from signalhub.services.principal import WRITE_SIGNALS, HookPrincipal, Principal

BELIEVED_S: Final = 2.0
_PATIENCE_S: Final = 0.5
"""For the database to answer. With the commit that may follow, a sender has his answer within two seconds."""
# Ids that do not exist, tried by the thousand, must not fill the memory.
_MOST_REMEMBERED: Final = 20_000
_NOBODY: Final = (0.0, Principal(account_id="", credential_id="", scopes=frozenset()))


class _Key(msgspec.Struct, frozen=True):
    id: str
    account_id: str
    digest: bytes
    scopes: list[str]
    expires_at: datetime | None
    revoked_at: datetime | None


class _Hook(msgspec.Struct, frozen=True):
    id: str
    account_id: str
    digest: bytes
    secret: bytes | None
    duplicate_window_s: int
    revoked_at: datetime | None


Row = TypeVar("Row", _Key, _Hook)


class _Memory(Generic[Row]):
    """Rows by id, each believed for BELIEVED_S; those who ask for the same at once share one read.

    Read without a session: the first signal after a quiet time waits for this, and a session takes twice as long.
    """

    def __init__(self, engine: AsyncEngine, kind: type[Row], model: type[ApiKeyRow | HookRow]) -> None:
        self._at_once = at_once(engine)
        self._kind: type[Row] = kind
        columns = table(model).columns
        self._row = select(*(columns[name] for name in kind.__struct_fields__)).where(columns.id == bindparam("id"))
        self._known: dict[str, tuple[float, Row | None]] = {}
        self._loading: dict[str, asyncio.Task[Row | None]] = {}

    def recall(self, id_: str) -> tuple[bool, Row | None]:
        known = self._known.get(id_)
        return (False, None) if known is None or known[0] < monotonic() else (True, known[1])

    def until(self, id_: str) -> float:
        """When what is known of this row is to be believed no longer."""
        known = self._known.get(id_)
        return 0.0 if known is None else known[0]

    def renew(self, ids: Iterable[str], until: float) -> None:
        """Go on believing what is known of these rows."""
        for id_ in ids:
            if (known := self._known.get(id_)) is not None:
                self._known[id_] = until, known[1]

    async def ask(self, id_: str) -> Row | None:
        if id_ not in self._loading:
            task = self._loading[id_] = asyncio.create_task(self._read(id_))
            task.add_done_callback(lambda _: self._loading.pop(id_, None))
        return await asyncio.shield(self._loading[id_])

    async def _read(self, id_: str) -> Row | None:
        # Its age counts from before the read, or a revocation during it could be believed away for longer.
        until = monotonic() + BELIEVED_S
        async with asyncio.timeout(_PATIENCE_S), self._at_once.connect() as connection:
            found = (await connection.execute(self._row, {"id": id_})).one_or_none()
        row = None if found is None else self._kind(*found)
        if len(self._known) > _MOST_REMEMBERED:
            self._known.clear()
        self._known[id_] = (until, row)
        return row


class Keyring:
    def __init__(self, engine: AsyncEngine) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._at_once = at_once(engine)
        self._keys = _Memory(engine, _Key, ApiKeyRow)
        self._hooks = _Memory(engine, _Hook, HookRow)
        self._used: set[str] = set()
        self._admitted: dict[str, tuple[float, Principal]] = {}

    async def key(self, text: str) -> Principal:
        """Whose API key this is. Raises `mistyped_key`, `unknown_key`, `revoked_key`, `expired_key`."""
        until, principal = self._admitted.get(text, _NOBODY)
        if until < monotonic():
            principal = await self._read_key(text)
        return principal

    async def _read_key(self, text: str) -> Principal:
        token = tokens.read(tokens.API_KEY, text)
        is_known, row = self._keys.recall(token.id)
        if not is_known:
            row = await self._keys.ask(token.id)
        if row is None or not token.matches(row.digest):
            raise SignalHubError("unknown_key")
        principal = self._admit(row)
        self._remember(text, token.id, principal)
        return principal

    def _remember(self, text: str, key_id: str, principal: Principal) -> None:
        """A busy sender's key need not be taken apart and compared a thousand times in two seconds."""
        if len(self._admitted) > _MOST_REMEMBERED:
            self._admitted.clear()
        self._admitted[text] = self._keys.until(key_id), principal

    async def key_id(self, id_: str) -> Principal:
        """The same for a key that has proved itself before, as behind a cookie or a ticket."""
        is_known, row = self._keys.recall(id_)
        if not is_known:
            row = await self._keys.ask(id_)
        if row is None:
            raise SignalHubError("unknown_key")
        return self._admit(row)

    async def hook(self, text: str) -> HookPrincipal:
        """Whose hook URL this is. Raises `unknown_hook`, whatever is wrong with it."""
        try:
            token = tokens.read(tokens.HOOK, text)
        except SignalHubError:
            raise SignalHubError("unknown_hook") from None
        is_known, row = self._hooks.recall(token.id)
        if not is_known:
            row = await self._hooks.ask(token.id)
        if row is None or not token.matches(row.digest) or row.revoked_at is not None:
            raise SignalHubError("unknown_hook")
        self._used.add(row.id)
        return HookPrincipal(
            account_id=row.account_id,
            credential_id=row.id,
            scopes=frozenset({WRITE_SIGNALS}),
            sealed_secret=row.secret,
            duplicate_window_s=row.duplicate_window_s,
        )

    def _admit(self, row: _Key) -> Principal:
        if row.revoked_at is not None and row.revoked_at <= datetime.now(UTC):
            raise SignalHubError("revoked_key")
        if row.expires_at is not None and row.expires_at <= datetime.now(UTC):
            raise SignalHubError("expired_key")
        self._used.add(row.id)
        return Principal(account_id=row.account_id, credential_id=row.id, scopes=frozenset(row.scopes))

    async def dead(self, key_ids: Iterable[str]) -> set[str]:
        """Which of these keys no longer open anything, as the database has it now.

        Who asks for a key again and again, as for those of open streams, keeps it known: its next use need not wait.
        """
        asked = list(key_ids)
        if not asked:
            return set()
        until, now = monotonic() + BELIEVED_S, datetime.now(UTC)
        alive = select(ApiKeyRow.id).where(
            ApiKeyRow.id == any_(literal(asked, ARRAY(Text))),  # one parameter, however many keys there are
            or_(ApiKeyRow.revoked_at.is_(None), ApiKeyRow.revoked_at > now),
            or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > now),
        )
        async with self._at_once.connect() as connection:
            living = set((await connection.scalars(alive)).all())
        self._keys.renew(living, until)
        return set(asked) - living

    async def note_uses(self) -> None:
        """Write down which credentials were used since the last time."""
        used, self._used = self._used, set()
        if not used:
            return
        async with self._sessions() as session:
            for model in (ApiKeyRow, HookRow):
                await session.execute(update(model).where(model.id.in_(used)).values(last_used_at=datetime.now(UTC)))
            await session.commit()
