"""The pages as a browser without script has them: forms, cookies and headers."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from signalhub.domain.errors import REFUSALS
from signalhub.services.principal import READ_ORDERS, WRITE_SIGNALS
from tests.kit import texts
from tests.kit.hub import RunningApp
from tests.kit.trader import AccountClient
from tests.kit.waiting import wait_until


@pytest.fixture
async def visitor(hub: RunningApp) -> AsyncIterator[httpx.AsyncClient]:
    """Keeps its cookies to itself."""
    async with httpx.AsyncClient(base_url=hub.settings.base_url) as http:
        yield http


async def enter(visitor: httpx.AsyncClient, key: str) -> str:
    """Sign in with a key; the answer is the page behind it."""
    await visitor.post("/login", data={"key": key}, follow_redirects=True)
    return (await visitor.get("/")).text


def hidden(page: str, name: str) -> str:
    return str(re.findall(rf'name="{name}" value="(\w+)"', page)[0])


async def submit(visitor: httpx.AsyncClient, page: str, text: str) -> httpx.Response:
    form = {"csrf": hidden(page, "csrf"), "key": hidden(page, "key"), "text": text}
    return await visitor.post("/send", data=form, follow_redirects=True)


async def test_a_signal_is_sent_by_form_and_its_order_is_on_the_page(
    visitor: httpx.AsyncClient, trader: AccountClient
) -> None:
    answer = await submit(visitor, await enter(visitor, trader.api_key), texts.BUY)
    assert answer.status_code == httpx.codes.OK
    assert "Accepted: BUY EURUSD, now pending." in answer.text
    assert 'data-status="pending"' in answer.text


async def test_a_form_sent_twice_is_one_order(visitor: httpx.AsyncClient, trader: AccountClient) -> None:
    page = await enter(visitor, trader.api_key)
    for _ in range(2):
        await submit(visitor, page, texts.BUY)
    assert len((await trader.get("/api/v1/orders"))["items"]) == 1


async def test_a_refused_text_comes_back_with_its_faults_marked(
    visitor: httpx.AsyncClient, trader: AccountClient
) -> None:
    answer = await submit(visitor, await enter(visitor, trader.api_key), "BUY <b>EURUSD @ 1.0860\nSL 1.0890\nTP 1.0900")
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "&lt;b&gt;EURUSD" in answer.text
    assert "<b>" not in answer.text
    assert 'aria-invalid="true"' in answer.text


@pytest.mark.parametrize("path", ["/send", "/logout"])
async def test_a_form_without_the_session_s_token_does_nothing(
    visitor: httpx.AsyncClient, trader: AccountClient, path: str
) -> None:
    await enter(visitor, trader.api_key)
    answer = await visitor.post(path, data={"csrf": "0" * 32, "text": texts.BUY})
    assert answer.status_code == httpx.codes.FORBIDDEN
    assert (await trader.get("/api/v1/orders"))["items"] == []


async def test_another_site_s_page_signs_nobody_in(visitor: httpx.AsyncClient, trader: AccountClient) -> None:
    answer = await visitor.post("/login", data={"key": trader.api_key}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == httpx.codes.FORBIDDEN
    assert not visitor.cookies


async def test_who_seems_signed_out_to_a_link_from_elsewhere_is_asked_once_more(visitor: httpx.AsyncClient) -> None:
    foreign = await visitor.get("/", headers={"Sec-Fetch-Site": "cross-site"})
    own = await visitor.get("/", headers={"Sec-Fetch-Site": "same-origin"})
    assert foreign.headers["refresh"] == "0; url=/"
    assert "refresh" not in own.headers
    # Only he who is surely signed out tells the other tabs.
    assert "signed_out.js" in own.text
    assert "signed_out.js" not in foreign.text


async def test_a_dead_key_s_session_ends_with_its_reason(visitor: httpx.AsyncClient, trader: AccountClient) -> None:
    key = await trader.post("/api/v1/keys", {"label": "lost"})
    await enter(visitor, key["api_key"])
    await trader.request("DELETE", f"/api/v1/keys/{key['id']}")
    await wait_until(lambda: says(visitor, "Revoked API key."))
    assert not visitor.cookies


async def says(visitor: httpx.AsyncClient, words: str) -> bool:
    return words in (await visitor.get("/")).text


async def test_a_wrong_key_is_told_from_a_mistyped_one(visitor: httpx.AsyncClient, trader: AccountClient) -> None:
    answer = await visitor.post("/login", data={"key": trader.api_key[:-1] + "_"})
    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert "mistyped" in answer.text


async def test_the_cookie_is_for_the_server_and_its_own_pages_only(
    visitor: httpx.AsyncClient, trader: AccountClient
) -> None:
    cookie = (await visitor.post("/login", data={"key": trader.api_key})).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


async def test_a_key_sees_and_may_what_its_scopes_say(visitor: httpx.AsyncClient, trader: AccountClient) -> None:
    writer, reader = [
        (await trader.post("/api/v1/keys", {"scopes": [scope]}))["api_key"] for scope in (WRITE_SIGNALS, READ_ORDERS)
    ]
    assert "may not read orders" in await enter(visitor, writer)
    assert "may not send signals" in await enter(visitor, reader)


async def test_a_page_runs_nothing_but_our_own_files(visitor: httpx.AsyncClient, trader: AccountClient) -> None:
    await enter(visitor, trader.api_key)
    for path in ("/", "/login", "/docs/errors", "/schema"):
        answer = await visitor.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=\"/static/)", answer.text), path
        for file in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text):
            assert (await visitor.get(file)).is_success, file


async def test_a_file_is_sent_once_and_confirmed_after(visitor: httpx.AsyncClient) -> None:
    tag = (await visitor.get("/static/live.js")).headers["etag"]
    assert (await visitor.get("/static/live.js", headers={"If-None-Match": tag})).status_code == 304
    assert (await visitor.get("/static/..%2fpages.py")).status_code == 404


async def test_every_code_has_its_line_on_the_page_that_problems_point_to(visitor: httpx.AsyncClient) -> None:
    page = (await visitor.get("/docs/errors")).text
    assert [code for code in REFUSALS if f'id="{code}"' not in page] == []
    assert (await visitor.get("/api/v1/orders")).json()["type"].endswith("/docs/errors#unauthenticated")


async def test_every_operation_is_described_with_its_refusals_and_shown(visitor: httpx.AsyncClient) -> None:
    document = (await visitor.get("/schema/openapi.json")).json()
    page = (await visitor.get("/schema")).text
    for path, item in document["paths"].items():
        for verb, about in item.items():
            assert f'id="{about["operationId"]}"' in page
            if "health" in about["tags"]:
                continue
            refused = {status: body for status, body in about["responses"].items() if int(status) >= 400}
            assert refused, (verb, path)
            assert all(list(body["content"]) == ["application/problem+json"] for body in refused.values()), (verb, path)
    assert document["paths"]["/api/v1/signals"]["post"]["requestBody"]["content"].keys() >= {"text/plain"}
    assert document["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"
