"""HEAD and OPTIONS on every route; pages for browsers under addresses that do not exist."""

import httpx
import pytest

from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp

PAGE_PATHS = ("/", "/login", "/docs/errors", "/schema", "/schema/openapi.json", "/static/icon.svg", "/favicon.ico")
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def _list_paths(account: AccountClient) -> dict[str, set[str]]:
    """Map each path of the OpenAPI document, with ids filled in, to its methods."""
    sent = await account.send_signal()
    ids = {"order_id": sent["order_id"], "signal_id": sent["signal_id"], "symbol": "EURUSD"}
    paths = (await account.get("/schema/openapi.json"))["paths"]
    return {
        path.format_map(ids | dict.fromkeys(("key_id", "hook_id", "id_", "token"), "x")): {*map(str.upper, item)}
        for path, item in paths.items()
    }


async def test_head_is_get_without_body(account: AccountClient) -> None:
    paths = [path for path, methods in (await _list_paths(account)).items() if "GET" in methods]
    for path in (*paths, *PAGE_PATHS, "/nowhere"):
        if path == "/api/v1/stream":
            continue
        get, head = await account.request("GET", path), await account.request("HEAD", path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers["content-type"] == get.headers["content-type"], path
        if path not in ("/metrics", "/health", "/"):  # their bodies change
            assert head.headers["content-length"] == get.headers["content-length"], path


async def test_head_of_stream_opens_no_stream_and_spends_no_ticket(account: AccountClient) -> None:
    ticket = (await account.post("/api/v1/tickets"))["ticket"]
    for _ in range(2):
        response = await account.http.head("/api/v1/stream", params={"ticket": ticket}, timeout=2)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
    assert (await account.http.head("/api/v1/stream")).status_code == 401
    async with account.http.stream("GET", "/api/v1/stream", params={"ticket": ticket}) as response:
        assert response.status_code == 200


async def test_options_lists_all_methods_without_credential(account: AccountClient) -> None:
    for path, methods in (await _list_paths(account)).items():
        response = await account.http.options(path)
        expected = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        assert (response.status_code, response.content) == (204, b""), path
        assert set(response.headers["Allow"].split(", ")) >= expected, path
        refused = await account.http.request("TRACE", path)
        assert refused.headers["Allow"] == response.headers["Allow"], path
    assert (await account.http.options("/nowhere")).status_code == 404


async def test_head_is_logged_and_counted_once(app: RunningApp, account: AccountClient) -> None:
    await account.request("HEAD", "/api/v1/orders")
    await account.request("HEAD", "/api/v1/orders/")
    assert app.web.log_text.count('"method":"HEAD"') + app.web.log_text.count('"method": "HEAD"') >= 2


@pytest.mark.parametrize("path", ["/nowhere", "/docs", "/api/v1/nowhere", "/schema/nowhere", "/hooks/x"])
async def test_browser_gets_page_with_links_under_wrong_address(http: httpx.AsyncClient, path: str) -> None:
    page = await http.get(path, headers=BROWSER)
    assert page.status_code in {404, 405}
    assert page.headers["content-type"].startswith("text/html")
    assert {'href="/"', 'href="/schema"', 'href="/docs/errors"'} <= set(page.text.replace(">", " ").split())
    assert "Content-Security-Policy" in page.headers
    problem = await http.get(path)
    assert problem.headers["content-type"] == "application/problem+json"


async def test_favicon_is_an_image(http: httpx.AsyncClient) -> None:
    response = await http.get("/favicon.ico")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/svg+xml")
    assert response.content.startswith(b"<svg")


@pytest.mark.parametrize("slash", ["", "/"])
async def test_older_address_of_reference_leads_to_it(http: httpx.AsyncClient, slash: str) -> None:
    page = await http.get(f"/dev/api/docs{slash}", follow_redirects=True, headers=BROWSER)
    assert (page.status_code, page.url.path) == (200, "/schema")


async def test_authentication_comes_before_validation(http: httpx.AsyncClient) -> None:
    requests = [
        http.get("/api/v1/orders", params={"limit": "many"}),
        http.post("/api/v1/keys", content=b"{"),
        http.post(f"/hooks/{'x' * 300}", content=signal_texts.BUY),
        http.get("/orders/", params={"limit": "-1"}),
        http.get("/api/v1/stream", params={"types": "nonsense"}),
        http.head("/api/v1/orders", params={"limit": "many"}),
    ]
    assert [(await request).status_code for request in requests] == [401] * len(requests)
