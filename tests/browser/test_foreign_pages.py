"""A service on loopback, and pages of others in a real browser on the same machine."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.browser.chromium import Page
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp

BODY = {"username": "visitor", "broker_name": "mock", "account_id": "7", "api_key": "s3cret"}
COUNTS = "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM api_keys), (SELECT count(*) FROM signals)"


@pytest.fixture
async def foreign_port() -> AsyncIterator[int]:
    """Serve an empty page on a port of its own, for any path."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\nConnection: close\r\n\r\n"
        writer.write(f"{head}<!doctype html>".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def fetch(url: str, body: str, *, mode: str = "no-cors") -> str:
    """Return JavaScript that posts a body and gives the status, 0 where the page may not read it."""
    options = f"{{method: 'POST', mode: '{mode}', body: {body}, credentials: 'include'}}"
    return f"fetch('{url}', {options}).then(response => response.status, () => -1)"


def submit_form(url: str, encoding: str, fields: dict[str, str]) -> str:
    """Return JavaScript that sends a form, as a click on its button would."""
    return f"""
        const form = document.createElement('form');
        Object.assign(form, {{method: 'post', action: '{url}', enctype: '{encoding}'}});
        for (const [name, value] of Object.entries({json.dumps(fields)})) {{
            const input = document.createElement('input');
            Object.assign(input, {{name, value, type: 'hidden'}});
            form.append(input);
        }}
        document.body.append(form);
        form.submit();
    """


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
async def test_page_of_another_origin_makes_nothing(
    app: RunningApp, account: AccountClient, page: Page, foreign_port: int, host: str
) -> None:
    """Also as a script of a page on another port of this machine, and by a session of the same browser."""
    base_url = app.settings.web.base_url
    before = await app.execute_sql(COUNTS)
    await page.open(f"{base_url}/login")
    await page.js(f"document.querySelector('[name=key]').value = '{account.api_key}'")
    await page.js("document.querySelector('form').submit()")
    await page.until("document.querySelector('[name=csrf]') !== null")

    foreign_page = f"http://{host}:{foreign_port}/"
    await page.open(foreign_page)
    text = json.dumps(BODY)
    for body in (f"'{text}'", f"new Blob(['{text}'])", f"new URLSearchParams({text})"):
        await page.js(fetch(f"{base_url}/accounts/", body))
        await page.js(fetch(f"{base_url}/api/v1/keys", body))
    assert await page.js(fetch(f"{base_url}/accounts/", f"'{text}'", mode="cors")) == -1
    await page.js(fetch(f"{base_url}/api/v1/signals", "'BUY EURUSD SL 1.0850 TP 1.0890'"))
    # A plain form whose one field reads as JSON, and the sign-in form with the key of a stranger.
    name, value = text[:-2] + '", "x": "', '"}'
    for path, encoding, fields in (
        ("/accounts/", "text/plain", {name: value}),
        ("/login", "application/x-www-form-urlencoded", {"key": account.api_key}),
    ):
        await page.open(foreign_page)
        await page.js(submit_form(f"{base_url}{path}", encoding, fields))
        await page.until(f"location.origin === '{base_url}' && document.readyState === 'complete'")
        assert "own pages only" in await page.text("body"), path
    assert await app.execute_sql(COUNTS) == before


@pytest.mark.parametrize("host", ["rebound.example", "box.local"])
async def test_name_that_leads_to_this_machine_reads_and_makes_nothing(app: RunningApp, page: Page, host: str) -> None:
    """A name that was pointed here makes a stranger's page one of the service's own origin."""
    before = await app.execute_sql(COUNTS)
    await page.open(f"http://{host}:{app.settings.web.port}/login")
    assert "bad_host" in await page.text("body")
    options = f"{{method: 'POST', headers: {{'Content-Type': 'application/json'}}, body: '{json.dumps(BODY)}'}}"
    assert await page.js(f"fetch('/accounts/', {options}).then(response => response.status)") == 421
    for path in ("/metrics", "/schema/openapi.json", "/docs/errors"):
        assert await page.js(f"fetch('{path}').then(response => response.status)") == 421
    assert await app.execute_sql(COUNTS) == before
