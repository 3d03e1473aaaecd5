"""Heads of logs are read in one query for all simultaneous requests, and every request is answered."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from db import event_log
from signalhub.streams.stream_relay import SequenceHeadLoader
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp


async def test_head_reads_fail_when_the_driver_raises_cancelled_error(
    app: RunningApp, account: AccountClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def raise_cancelled(_connection: AsyncConnection, _account_ids: list[str]) -> dict[str, int]:
        raise asyncio.CancelledError

    loader = SequenceHeadLoader(app.services.engine)
    async with asyncio.timeout(5):
        with monkeypatch.context() as patch:
            patch.setattr(event_log, "get_heads", raise_cancelled)
            with pytest.raises(TimeoutError):
                await loader.load(account.id)
        assert await loader.load(account.id) == 1
