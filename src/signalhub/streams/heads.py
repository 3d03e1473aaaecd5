"""Where logs end, as the database has it - asked once for everybody who asks at the same time.

Two thousand streams that come back after a restart cost a handful of queries, and yet each gets an answer that is no
older than its question.
"""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from db import log
from db.engine import autocommit


class SequenceHeadLoader:
    def __init__(self, engine: AsyncEngine) -> None:
        self._autocommit_engine = autocommit(engine)
        self._pending_requests: list[tuple[str, asyncio.Future[int]]] = []
        self._load_task: asyncio.Task[None] | None = None

    async def load(self, account_id: str) -> int:
        """The last `seq` of the account's log, read after this was called. Raises what the database raises."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending_requests.append((account_id, future))
        if self._load_task is None:
            self._load_task = asyncio.create_task(self._load_pending())
        return await future

    async def _load_pending(self) -> None:
        try:
            while self._pending_requests:
                asked, self._pending_requests = self._pending_requests, []
                await self._load_batch(asked)
        finally:
            self._load_task = None

    async def _load_batch(self, requests: list[tuple[str, asyncio.Future[int]]]) -> None:
        try:
            async with self._autocommit_engine.connect() as connection:
                heads = await log.get_heads(connection, list({account_id for account_id, _ in requests}))
        except asyncio.CancelledError:  # a driver may give up its own waits so
            _fail_requests(requests, TimeoutError())
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are to be told
            _fail_requests(requests, error)
        else:
            for account_id, future in requests:
                if not future.done():
                    future.set_result(heads.get(account_id, 0))


def _fail_requests(requests: list[tuple[str, asyncio.Future[int]]], error: Exception) -> None:
    for _, future in requests:
        if not future.done():
            future.set_exception(error)
