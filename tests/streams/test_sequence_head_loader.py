"""Where logs end is asked once for all who ask at the same time, and nobody is left without an answer."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from db import event_log
from signalhub.streams.relay import SequenceHeadLoader
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp


async def test_head_reads_fail_when_the_driver_raises_cancelled_error(
    app: RunningApp, account: AccountClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def give_up(_connection: AsyncConnection, _account_ids: list[str]) -> dict[str, int]:
        raise asyncio.CancelledError

    reader = SequenceHeadLoader(app.services.engine)
    async with asyncio.timeout(5):
        with monkeypatch.context() as broken:
            broken.setattr(event_log, "get_heads", give_up)
            with pytest.raises(TimeoutError):
                await reader.load(account.id)
        assert await reader.load(account.id) == 1
