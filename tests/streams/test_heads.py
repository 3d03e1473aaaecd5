"""Where logs end is asked once for all who ask at the same time, and nobody is left without an answer."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from db import log
from signalhub.streams.heads import HeadReader
from tests.kit.hub import Hub
from tests.kit.trader import Trader


async def test_a_driver_that_cancels_itself_leaves_nobody_waiting(
    hub: Hub, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def give_up(_connection: AsyncConnection, _account_ids: list[str]) -> dict[str, int]:
        raise asyncio.CancelledError

    reader = HeadReader(hub.house.engine)
    async with asyncio.timeout(5):
        with monkeypatch.context() as broken:
            broken.setattr(log, "heads", give_up)
            with pytest.raises(TimeoutError):
                await reader.of(trader.id)
        assert await reader.of(trader.id) == 1
