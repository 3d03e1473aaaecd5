"""Single-use tokens: a stream ticket opens one stream, a sign-in link one session."""

import os
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import and_, delete, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from db.account_repositories import TicketRepository
from db.tables import TicketRow
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError

STREAM_TICKET_TTL_S: Final = 30
SIGN_IN_TTL_S: Final = 3600


class Tickets:
    """`purpose` is a token prefix: `identifiers.TICKET_PREFIX` or `identifiers.SIGN_IN_PREFIX`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def issue(self, key_id: str, *, purpose: str, ttl_s: int) -> str:
        """Return a new ticket for the key. Expired tickets are deleted on the way."""
        token = identifiers.mint_token(purpose, os.urandom(identifiers.TOKEN_ENTROPY_BYTES))
        now = datetime.now(UTC)
        row = TicketRow(digest=token.digest, purpose=purpose, key_id=key_id, expires_at=now + timedelta(seconds=ttl_s))
        async with self._sessions() as session:
            await session.execute(delete(TicketRow).where(TicketRow.expires_at < now))
            await TicketRepository(session).add(row)
            await session.commit()
        return token.text

    async def redeem(self, ticket: str, *, purpose: str, keep: bool = False) -> str:
        """Return the id of the ticket's key and delete the ticket, unless `keep`. Raises `bad_ticket`.

        One DELETE, not a repository's read and delete: of several concurrent calls one gets the row.
        """
        try:
            token = identifiers.parse_token(purpose, ticket)
        except SignalHubError:
            raise SignalHubError("bad_ticket") from None
        is_ticket = and_(TicketRow.digest == token.digest, TicketRow.purpose == purpose)
        look_up = select(TicketRow.key_id, TicketRow.expires_at).where(is_ticket)
        spend = delete(TicketRow).where(is_ticket).returning(TicketRow.key_id, TicketRow.expires_at)
        async with self._sessions() as session:
            row = (await session.execute(look_up if keep else spend)).one_or_none()
            await session.commit()
        if row is None or row.expires_at < datetime.now(UTC):
            raise SignalHubError("bad_ticket", "This ticket was used already, or is older than it may be.")
        key_id: str = row.key_id
        return key_id
