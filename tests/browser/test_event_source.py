"""Chromium's own EventSource, without our scripts, reads every kind of stream message and reconnects by itself."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import text

from db.engine import create_engine
from tests.browser.chromium import Page
from tests.kit.account_client import AccountClient
from tests.kit.stack import Stack

OPEN = """(query => {
    window.source?.close();
    window.messages = [];
    window.source = new EventSource("/api/v1/stream?" + query);
    for (const type of ["message", "stream.ready", "stream.reset", "stream.gap", "account.created", "signal.accepted",
                        "order.pending", "order.executed", "order.closed"])
        source.addEventListener(type, event => messages.push([type, event.lastEventId, event.data]));
})"""


@pytest.fixture
async def account(stack: Stack, page: Page) -> AsyncIterator[AccountClient]:
    async with httpx.AsyncClient(base_url=stack.base_url, timeout=15) as http:
        await page.open(f"{stack.base_url}/docs/errors")
        yield await AccountClient.register(http)


async def open_source(page: Page, account: AccountClient, **query: str) -> None:
    ticket = (await account.post("/api/v1/tickets"))["ticket"]
    await page.js(f"{OPEN}({str(httpx.QueryParams({'ticket': ticket, **query}))!r})")


async def wait_for_messages(page: Page, count: int) -> list[Any]:
    """Wait for `count` messages; return all so far, as [type, last event id, JSON]."""
    await page.until(f"messages.length >= {count}")
    return [[type_, id_, msgspec.json.decode(data)] for type_, id_, data in await page.js("messages")]


async def test_event_source_reconnects_with_spent_ticket_without_losing_events(
    stack: Stack, page: Page, account: AccountClient
) -> None:
    await open_source(page, account, after="0")
    await account.send_signal()
    await wait_for_messages(page, 4)
    stack.web.kill_main()
    stack.web.kill_process_group()
    await stack.wait_until_ready()
    await account.send_signal()
    messages = await wait_for_messages(page, 2 + 5)
    readies = [message for message in messages if message[0] == "stream.ready"]
    events = [data for type_, _, data in messages if type_ != "stream.ready"]
    log = await account.list_events()
    assert len(readies) == 2
    assert readies[1][2]["seq"] == messages[messages.index(readies[1]) - 1][2]["seq"]
    assert events == log[: len(events)]
    assert [message[0] for message in messages if message not in readies] == [event["type"] for event in events]
    assert all(id_ == f"{readies[0][2]['epoch']}-{data['seq']}" for _, id_, data in messages)


async def test_event_source_receives_reset_and_gap(stack: Stack, page: Page, account: AccountClient) -> None:
    await open_source(page, account, after="another-7")
    (_, id_, ready), (type_, _, reset) = await wait_for_messages(page, 2)
    assert (type_, reset["reason"], reset["seq"]) == ("stream.reset", "epoch", 1)
    assert id_ == f"{ready['epoch']}-1"
    await account.send_signal()
    engine = create_engine(stack.settings.database_url)
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM events WHERE account_id = :id AND seq <= 2"), {"id": account.id})
    await engine.dispose()
    await open_source(page, account, after="0")
    _, (type_, id_, gap), (pending, *_) = (await wait_for_messages(page, 3))[:3]
    assert (type_, gap["first"], gap["last"], id_) == ("stream.gap", 1, 2, f"{ready['epoch']}-2")
    assert pending == "order.pending"
