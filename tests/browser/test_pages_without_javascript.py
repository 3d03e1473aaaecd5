"""The pages in a browser without JavaScript: forms, cookies and headers."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from signalhub.domain.errors import ERRORS
from signalhub.services.auth import READ_ORDERS, WRITE_SIGNALS
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp


@pytest.fixture
async def browser_client(app: RunningApp) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client with its own cookies."""
    async with httpx.AsyncClient(base_url=app.settings.web.base_url) as http:
        yield http


async def sign_in(browser_client: httpx.AsyncClient, key: str) -> str:
    """Sign in with a key; return the page that follows."""
    await browser_client.post("/login", data={"key": key}, follow_redirects=True)
    return (await browser_client.get("/")).text


def find_hidden_value(page: str, name: str) -> str:
    return str(re.findall(rf'name="{name}" value="(\w+)"', page)[0])


async def submit(browser_client: httpx.AsyncClient, page: str, text: str) -> httpx.Response:
    form = {"csrf": find_hidden_value(page, "csrf"), "key": find_hidden_value(page, "key"), "text": text}
    return await browser_client.post("/send", data=form, follow_redirects=True)


async def test_signal_form_creates_order_shown_on_page(
    browser_client: httpx.AsyncClient, account: AccountClient
) -> None:
    response = await submit(browser_client, await sign_in(browser_client, account.api_key), signal_texts.BUY)
    assert response.status_code == httpx.codes.OK
    assert "Accepted: BUY EURUSD, now pending." in response.text
    assert 'data-status="pending"' in response.text


async def test_form_sent_twice_creates_one_order(browser_client: httpx.AsyncClient, account: AccountClient) -> None:
    page = await sign_in(browser_client, account.api_key)
    for _ in range(2):
        await submit(browser_client, page, signal_texts.BUY)
    assert len((await account.get("/api/v1/orders"))["items"]) == 1


async def test_rejected_text_is_returned_with_problems_marked(
    browser_client: httpx.AsyncClient, account: AccountClient
) -> None:
    response = await submit(
        browser_client, await sign_in(browser_client, account.api_key), "BUY <b>EURUSD @ 1.0860\nSL 1.0890\nTP 1.0900"
    )
    assert response.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "&lt;b&gt;EURUSD" in response.text
    assert "<b>" not in response.text
    assert 'aria-invalid="true"' in response.text


@pytest.mark.parametrize("path", ["/send", "/logout"])
async def test_form_without_csrf_token_is_rejected(
    browser_client: httpx.AsyncClient, account: AccountClient, path: str
) -> None:
    await sign_in(browser_client, account.api_key)
    response = await browser_client.post(path, data={"csrf": "0" * 32, "text": signal_texts.BUY})
    assert response.status_code == httpx.codes.FORBIDDEN
    assert (await account.get("/api/v1/orders"))["items"] == []


async def test_cross_site_sign_in_is_rejected(browser_client: httpx.AsyncClient, account: AccountClient) -> None:
    response = await browser_client.post(
        "/login", data={"key": account.api_key}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert response.status_code == httpx.codes.FORBIDDEN
    assert not browser_client.cookies


async def test_cross_site_request_without_cookies_is_refreshed(browser_client: httpx.AsyncClient) -> None:
    cross_site = await browser_client.get("/", headers={"Sec-Fetch-Site": "cross-site"})
    same_origin = await browser_client.get("/", headers={"Sec-Fetch-Site": "same-origin"})
    assert cross_site.headers["refresh"] == "0; url=/"
    assert "refresh" not in same_origin.headers
    # The sign-in page stops the other tabs only if the browser is certainly signed out.
    assert "signed_out.js" in same_origin.text
    assert "signed_out.js" not in cross_site.text


async def test_revoked_key_ends_session_with_reason(browser_client: httpx.AsyncClient, account: AccountClient) -> None:
    key = await account.post("/api/v1/keys", {"label": "lost"})
    await sign_in(browser_client, key["api_key"])
    await account.request("DELETE", f"/api/v1/keys/{key['id']}")
    await wait_until(lambda: contains(browser_client, "Revoked API key."))
    assert not browser_client.cookies


async def contains(browser_client: httpx.AsyncClient, text: str) -> bool:
    return text in (await browser_client.get("/")).text


async def test_mistyped_key_is_reported_at_sign_in(browser_client: httpx.AsyncClient, account: AccountClient) -> None:
    response = await browser_client.post("/login", data={"key": account.api_key[:-1] + "_"})
    assert response.status_code == httpx.codes.UNAUTHORIZED
    assert "mistyped" in response.text


async def test_session_cookie_is_http_only_and_same_site_strict(
    browser_client: httpx.AsyncClient, account: AccountClient
) -> None:
    cookie = (await browser_client.post("/login", data={"key": account.api_key})).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


async def test_dashboard_respects_key_scopes(browser_client: httpx.AsyncClient, account: AccountClient) -> None:
    writer, reader = [
        (await account.post("/api/v1/keys", {"scopes": [scope]}))["api_key"] for scope in (WRITE_SIGNALS, READ_ORDERS)
    ]
    assert "may not read orders" in await sign_in(browser_client, writer)
    assert "may not send signals" in await sign_in(browser_client, reader)


async def test_content_security_policy_allows_only_own_files(
    browser_client: httpx.AsyncClient, account: AccountClient
) -> None:
    await sign_in(browser_client, account.api_key)
    for path in ("/", "/login", "/docs/errors", "/schema"):
        response = await browser_client.get(path)
        assert "default-src 'none'" in response.headers["content-security-policy"], path
        assert response.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=\"/static/)", response.text), (
            path
        )
        for file in re.findall(r'(?:src|href)="(/static/[^"]+)"', response.text):
            assert (await browser_client.get(file)).is_success, file


async def test_static_file_is_revalidated_by_etag(browser_client: httpx.AsyncClient) -> None:
    tag = (await browser_client.get("/static/live.js")).headers["etag"]
    assert (await browser_client.get("/static/live.js", headers={"If-None-Match": tag})).status_code == 304
    assert (await browser_client.get("/static/..%2fpages.py")).status_code == 404


async def test_errors_page_lists_every_code(browser_client: httpx.AsyncClient) -> None:
    page = (await browser_client.get("/docs/errors")).text
    assert [code for code in ERRORS if f'id="{code}"' not in page] == []
    assert (await browser_client.get("/api/v1/orders")).json()["type"].endswith("/docs/errors#unauthenticated")


async def test_openapi_describes_every_operation_and_its_problem_responses(browser_client: httpx.AsyncClient) -> None:
    document = (await browser_client.get("/schema/openapi.json")).json()
    page = (await browser_client.get("/schema")).text
    for path, item in document["paths"].items():
        for method, spec in item.items():
            assert f'id="{spec["operationId"]}"' in page
            if "health" in spec["tags"]:
                continue
            problems = {status: body for status, body in spec["responses"].items() if int(status) >= 400}
            assert problems, (method, path)
            assert all(list(body["content"]) == ["application/problem+json"] for body in problems.values()), (
                method,
                path,
            )
    assert document["paths"]["/api/v1/signals"]["post"]["requestBody"]["content"].keys() >= {"text/plain"}
    assert document["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"
