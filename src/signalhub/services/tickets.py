"""Single-use tokens: a stream ticket opens one stream, a sign-in link one session."""

import os
from datetime import timedelta
from typing import Final

from sqlalchemy import and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from db.account_repositories import TicketRepository
from db.tables import ApiKeyRow, TicketRow
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError

STREAM_TICKET_TTL_S: Final = 30
SIGN_IN_TTL_S: Final = 3600


class Tickets:
    """`purpose` is a token prefix: `identifiers.TICKET_PREFIX` or `identifiers.SIGN_IN_PREFIX`.

    Times are those of the database: the process that issues a ticket may have another clock than the one that redeems
    it.
    """

    def __init__(self, engine: AsyncEngine, *, max_open_per_key: int) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._max_open_per_key = max_open_per_key

    async def issue(self, key_id: str, *, purpose: str, ttl_s: int) -> str:
        """Return a new ticket for the key. Expired tickets are deleted on the way. Raises `too_many_tickets`."""
        token, now = (
            identifiers.mint_token(purpose, os.urandom(identifiers.TOKEN_ENTROPY_BYTES)),
            func.clock_timestamp(),
        )
        is_of_key = and_(TicketRow.key_id == key_id, TicketRow.purpose == purpose)
        async with self._sessions() as session:
            await session.execute(delete(TicketRow).where(TicketRow.expires_at < now))
            # Locked, so that concurrent calls count one after the other; other rows may go on to refer to the key.
            await session.execute(select(ApiKeyRow.id).where(ApiKeyRow.id == key_id).with_for_update(key_share=True))
            open_count = (
                await session.execute(select(func.count()).select_from(TicketRow).where(is_of_key))
            ).scalar_one()
            if open_count >= self._max_open_per_key:
                detail = f"This key has {open_count} tickets that were not used. Use them, or wait until they expire."
                raise SignalHubError("too_many_tickets", detail, retry_after_s=ttl_s)
            expires_at = now + timedelta(seconds=ttl_s)
            row = TicketRow(digest=token.digest, purpose=purpose, key_id=key_id, expires_at=expires_at)
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
        is_valid = (TicketRow.expires_at >= func.clock_timestamp()).label("is_valid")
        look_up = select(TicketRow.key_id, is_valid).where(is_ticket)
        spend = delete(TicketRow).where(is_ticket).returning(TicketRow.key_id, is_valid)
        async with self._sessions() as session:
            row = (await session.execute(look_up if keep else spend)).one_or_none()
            await session.commit()
        if row is None or not row.is_valid:
            raise SignalHubError("bad_ticket", "This ticket was used already, or is older than it may be.")
        key_id: str = row.key_id
        return key_id
