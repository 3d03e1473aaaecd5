"""Where logs end is asked once for all who ask at the same time, and nobody is left without an answer."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from db import log
from signalhub.streams.heads import SequenceHeadLoader
from tests.kit.hub import RunningApp
from tests.kit.trader import AccountClient


async def test_a_driver_that_cancels_itself_leaves_nobody_waiting(
    hub: RunningApp, trader: AccountClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def give_up(_connection: AsyncConnection, _account_ids: list[str]) -> dict[str, int]:
        raise asyncio.CancelledError

    reader = SequenceHeadLoader(hub.services.engine)
    async with asyncio.timeout(5):
        with monkeypatch.context() as broken:
            broken.setattr(log, "get_heads", give_up)
            with pytest.raises(TimeoutError):
                await reader.load(trader.id)
        assert await reader.load(trader.id) == 1
