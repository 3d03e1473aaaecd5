"""Things usable once: a ticket opens one stream, a sign-in link one session."""

import os
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from db.tables import TicketRow
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError

STREAM_TICKET_TTL_S: Final = 30
SIGN_IN_TTL_S: Final = 3600


class Tickets:
    """`purpose` is a token kind: `tokens.TICKET` or `tokens.SIGN_IN`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def issue(self, key_id: str, *, purpose: str, ttl_s: int) -> str:
        token = identifiers.mint_token(purpose, os.urandom(identifiers.TOKEN_ENTROPY_BYTES))
        now = datetime.now(UTC)
        row = TicketRow(digest=token.digest, purpose=purpose, key_id=key_id, expires_at=now + timedelta(seconds=ttl_s))
        async with self._sessions() as session:
            await session.execute(delete(TicketRow).where(TicketRow.expires_at < now))
            session.add(row)
            await session.commit()
        return token.text

    async def redeem(self, ticket: str, *, purpose: str) -> str:
        """The id of the key a ticket stands for. Deleting the row is spending it, so of many at once one gets it.

        Raises `bad_ticket`.
        """
        try:
            token = identifiers.parse_token(purpose, ticket)
        except SignalHubError:
            raise SignalHubError("bad_ticket") from None
        mine = TicketRow.digest == token.digest, TicketRow.purpose == purpose
        spent = delete(TicketRow).where(*mine).returning(TicketRow.key_id, TicketRow.expires_at)
        async with self._sessions() as session:
            row = (await session.execute(spent)).one_or_none()
            await session.commit()
        if row is None or row.expires_at < datetime.now(UTC):
            raise SignalHubError("bad_ticket", "This ticket was used already, or is older than it may be.")
        key_id: str = row.key_id
        return key_id
