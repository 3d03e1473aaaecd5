"""Repositories of accounts and their credentials: everything that is not on the path of a signal.

Claims, the event log and bulk writes are SQL by hand in their own modules.
"""

from typing import Generic, TypeVar

from advanced_alchemy.filters import OrderBy
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import AccountRow, ApiKeyRow, BrokerAccountRow, HookRow, TicketRow

RowT = TypeVar("RowT", AccountRow, ApiKeyRow, BrokerAccountRow, HookRow, TicketRow)


class Repository(SQLAlchemyAsyncRepository[RowT], Generic[RowT]):
    """Rows of one table in the caller's transaction. Raises SQLAlchemy's own errors, as all of `db` does."""

    def __init__(self, session: AsyncSession) -> None:
        # An insert returns its defaults already; to refresh it would be one more statement.
        super().__init__(session=session, auto_refresh=False, wrap_exceptions=False)

    async def list_by_account(self, account_id: str, order_by: str) -> list[RowT]:
        return await self.get_many(OrderBy(order_by, "asc"), account_id=account_id)

    async def lock_owned(self, account_id: str, id_: str) -> RowT | None:
        """Return the account's row, locked; None also if the row belongs to another account."""
        return await self.get_one_or_none(id=id_, account_id=account_id, with_for_update=True)


class AccountRepository(Repository[AccountRow]):
    model_type = AccountRow


class BrokerAccountRepository(Repository[BrokerAccountRow]):
    model_type = BrokerAccountRow


class ApiKeyRepository(Repository[ApiKeyRow]):
    model_type = ApiKeyRow


class HookRepository(Repository[HookRow]):
    model_type = HookRow


class TicketRepository(Repository[TicketRow]):
    model_type = TicketRow
    id_attribute = "digest"
