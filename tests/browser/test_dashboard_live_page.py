"""The live page in a real Chromium, also while processes are killed."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from db.engine import create_engine
from signalhub.domain import identifiers
from signalhub.services.tickets import Tickets
from tests.browser.chromium import Page
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.stack import Stack
from tests.kit.tcp_proxy import TcpProxy

STATE = "document.getElementById('connection')?.textContent"
STATUS = "document.querySelector('#orders tr .status')?.textContent"
# Records the status of a row before each change.
RECORD_STATUSES = """
    window.previousStatuses = [];
    new MutationObserver((changes) => window.previousStatuses.push(...changes.map((change) => change.oldValue)))
        .observe(document.getElementById("orders"), {
            subtree: true, attributeFilter: ["data-status"], attributeOldValue: true,
        });
"""
MESSAGE = "document.getElementById('message')?.textContent"


@pytest.fixture
async def account(stack: Stack) -> AsyncIterator[AccountClient]:
    async with httpx.AsyncClient(base_url=stack.base_url) as http:
        yield await AccountClient.register(http)


async def sign_in(page: Page, stack: Stack, account: AccountClient, url: str | None = None) -> str:
    """Sign in with a link that works once, as `signalhub up` prints it, here or at `url`; return the link."""
    engine = create_engine(stack.settings.database_url)
    key_id = identifiers.parse_token(identifiers.API_KEY_PREFIX, account.api_key).id
    ticket = await Tickets(engine, max_open_per_key=100).issue(key_id, purpose=identifiers.SIGN_IN_PREFIX, ttl_s=60)
    await engine.dispose()
    link = f"{url or stack.base_url}/login?token={ticket}"
    await page.open(link)
    await page.click("main button")
    await page.until(f"{STATE} === 'Connected'")
    return link


async def test_order_is_followed_to_close_across_web_process_kill(
    stack: Stack, account: AccountClient, page: Page
) -> None:
    await sign_in(page, stack, account)
    await page.js(RECORD_STATUSES)
    await page.click("#text")
    await page.type(signal_texts.BUY)
    await page.click("#send button")
    await page.until(f"{STATUS} === 'pending'")
    stack.web.kill_main()
    stack.web.kill_process_group()
    await page.until(f"{STATE} === 'Reconnecting…'")
    await page.until(f"{STATE} === 'Connected'")
    await page.until(f"{STATUS} === 'closed'")
    # Each change once, and without another load of the page.
    assert await page.js("window.previousStatuses") == ["", "pending", "executed"]
    assert await page.js("document.querySelectorAll('#orders tr').length") == 1
    # The browser reconnected by itself, with the cookie that the first ticket had left.
    assert await page.js("performance.getEntriesByName(new URL('/api/v1/tickets', location)).length") == 1
    assert [text for text in page.messages if "Content Security Policy" in text] == []


async def test_page_replaces_a_silent_connection_after_two_heartbeats(
    stack: Stack, account: AccountClient, page: Page
) -> None:
    heartbeat_s = stack.settings.streams.heartbeat_s
    async with TcpProxy(stack.settings.web.port) as proxy:
        await sign_in(page, stack, account, proxy.url)
        await asyncio.sleep(2.5 * heartbeat_s)
        assert await page.js(STATE) == "Connected"  # heartbeats keep an idle stream
        assert proxy.silence_connections() > 0
        await account.send_signal()
        await page.until(f"{STATE} === 'Reconnecting…'", timeout_s=2.5 * heartbeat_s)
        await page.until(f"{STATE} === 'Connected'")
        await page.until(f"{STATUS} !== undefined")
    assert await page.js("document.querySelectorAll('#orders tr').length") == 1


async def test_signal_text_problems_are_underlined_while_typing_and_after_sending(
    stack: Stack, account: AccountClient, page: Page
) -> None:
    await sign_in(page, stack, account)
    await page.click("#text")
    await page.type(signal_texts.STOP_ON_WRONG_SIDE)
    await page.until("document.querySelector('#underlines mark')?.textContent === '1.0890'")
    assert "A BUY needs its stop loss below 1.0860." in await page.text("#problems")
    await page.click("#send button")
    await page.until(f"{MESSAGE}.startsWith('Refused')")
    await page.until("document.querySelector('#rejections .problems')?.textContent.includes('sl_wrong_side')")
    assert await page.js("document.getElementById('text').value") == signal_texts.STOP_ON_WRONG_SIDE


async def test_sign_in_link_works_once(stack: Stack, account: AccountClient, page: Page) -> None:
    link = await sign_in(page, stack, account)
    await page.open(link)
    await page.click("main button")
    await page.until("document.querySelector('[role=alert]')?.textContent.includes('used already')")
    await page.open(stack.base_url)
    await page.until(f"{STATE} === 'Connected'")


async def test_cross_site_link_keeps_session(stack: Stack, account: AccountClient, page: Page) -> None:
    await sign_in(page, stack, account)
    # Another host name is another site to a browser, though it is the same service.
    await page.open(f"{stack.base_url.replace('127.0.0.1', 'localhost')}/docs/errors")
    await page.js(f"location.href = {stack.base_url + '/'!r}")
    await page.until(f"{STATE} === 'Connected'")


async def test_sign_out_invalidates_stream_cookie(stack: Stack, account: AccountClient, page: Page) -> None:
    await sign_in(page, stack, account)
    await page.click(".session button")
    await page.until("document.getElementById('key') !== null")
    assert await page.js("fetch('/api/v1/stream').then(response => response.status)") == httpx.codes.UNAUTHORIZED


async def test_page_shows_signed_out_when_key_is_revoked(stack: Stack, account: AccountClient, page: Page) -> None:
    other = await account.post("/api/v1/keys", {"label": "lost"})
    await sign_in(page, stack, account.with_key(other["api_key"]))
    await account.request("DELETE", f"/api/v1/keys/{other['id']}")
    await page.until(f"{STATE}.startsWith('Signed out')")


async def test_sign_out_in_one_tab_stops_other_tabs(stack: Stack, account: AccountClient, page: Page) -> None:
    await sign_in(page, stack, account)
    await page.js("new BroadcastChannel('signalhub').postMessage('')")
    await page.until(f"{STATE}.startsWith('Signed out')")


async def test_cursor_of_another_epoch_reloads_page(stack: Stack, account: AccountClient, page: Page) -> None:
    await sign_in(page, stack, account)
    script = """import("/static/feed.js").then(({ Feed }) => new Promise((done) => new Feed({
        csrf: document.querySelector("input[name=csrf]").value, cursor: "another-7",
        onState() {}, onEvent() {}, reload: async () => { done("loaded"); return null; },
    }).open()))"""
    assert await page.js(script) == "loaded"
