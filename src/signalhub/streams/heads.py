"""Where logs end, as the database has it - asked once for everybody who asks at the same time.

Two thousand streams that come back after a restart cost a handful of queries, and yet each gets an answer that is no
older than its question.
"""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from db import log
from db.engine import at_once


class HeadReader:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = at_once(engine)
        self._asked: list[tuple[str, asyncio.Future[int]]] = []
        self._round: asyncio.Task[None] | None = None

    async def of(self, account_id: str) -> int:
        """The last `seq` of the account's log, read after this was called. Raises what the database raises."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked.append((account_id, future))
        if self._round is None:
            self._round = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                await self._answer(asked)
        finally:
            self._round = None

    async def _answer(self, asked: list[tuple[str, asyncio.Future[int]]]) -> None:
        try:
            async with self._engine.connect() as connection:
                heads = await log.heads(connection, list({account_id for account_id, _ in asked}))
        except asyncio.CancelledError:  # a driver may give up its own waits so
            _fail(asked, TimeoutError())
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are to be told
            _fail(asked, error)
        else:
            for account_id, future in asked:
                if not future.done():
                    future.set_result(heads.get(account_id, 0))


def _fail(asked: list[tuple[str, asyncio.Future[int]]], error: Exception) -> None:
    for _, future in asked:
        if not future.done():
            future.set_exception(error)
