"""Which `Host`, `Origin` and `Content-Type` a request may have, so that pages of others do nothing here."""

import asyncio
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.kit import signal_texts
from tests.kit.account_client import AccountClient, connect_websocket
from tests.kit.processes import run_web
from tests.kit.running_app import RunningApp
from tests.kit.servers import Servers

BODY = {"broker_name": "mock", "account_id": "7", "api_key": "s3cret"}
ACCOUNTS = "SELECT count(*) FROM accounts"
FOREIGN_PAGES = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
]
HOSTS = {
    "127.0.0.1": 200, "localhost:1": 200, "LOCALHOST": 200, "[::1]:8000": 200, "signals.example.com": 200,
    "hub.local": 200, "[::2]": 200, "evil.example": 421, "signals.example.com.evil.example": 421,
    "127.0.0.1.evil.example": 421, "192.0.2.1:8000": 421, "localhost@evil.example": 421, "0.0.0.0": 421,  # noqa: S104 - a name here
}  # fmt: skip


async def test_only_named_hosts_are_served(servers: Servers, logs: Path) -> None:
    settings = await servers.create_settings(allowed_hosts="Hub.Local:9000, ::2,signals.example.com")
    async with run_web(settings, logs / "hosts.log"), httpx.AsyncClient(base_url=settings.web.base_url) as http:
        statuses = {host: (await http.get("/docs/errors", headers={"Host": host})).status_code for host in HOSTS}
    assert statuses == HOSTS


async def test_other_host_reaches_nothing_but_health(app: RunningApp, account: AccountClient) -> None:
    headers = {"Host": "evil.example", "X-API-Key": account.api_key}
    refused = await app.http.post("/api/v1/signals", content=signal_texts.BUY, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (421, "bad_host")
    assert "SIGNALHUB_ALLOWED_HOSTS" in refused.json()["detail"]
    assert (await app.http.get("/metrics", headers=headers)).status_code == 421
    for path in ("/health/live", "/health/ready"):
        assert (await app.http.get(path, headers=headers)).status_code == 200
    with pytest.raises(InvalidStatus) as refusal:
        async with connect_websocket(app.http, "/ws/stream", headers=headers):
            pass
    assert refusal.value.response.status_code == 403
    assert (await account.get("/api/v1/orders"))["items"] == []


@pytest.mark.parametrize("hosts", [[], [""], ["localhost", "localhost"], ["evil.example", "localhost"]])
async def test_request_needs_one_host(app: RunningApp, hosts: list[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", app.settings.web.port)
    lines = ["GET /docs/errors HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close"]
    writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    async with asyncio.timeout(5):
        status_line = await reader.readline()
    writer.close()
    assert status_line.split()[1] == b"400"


@pytest.mark.parametrize("headers", FOREIGN_PAGES)
async def test_page_of_another_origin_changes_nothing_without_a_key(
    app: RunningApp, account: AccountClient, headers: dict[str, str]
) -> None:
    before = await app.execute_sql(ACCOUNTS)
    session = (await app.http.post("/login", data={"key": account.api_key})).headers["set-cookie"].partition(";")[0]
    page = (await app.http.get("/", headers={"Cookie": session})).text
    csrf = page.partition('name="csrf" value="')[2][:32]
    with_session = {"Cookie": session, "X-CSRF-Token": csrf} | headers
    responses = [
        await app.http.post("/accounts/", json=BODY | {"username": f"page {headers}"}, headers=headers),
        await app.http.post("/login", data={"key": account.api_key}, headers=headers),
        await app.http.post("/send", data={"csrf": csrf, "text": signal_texts.BUY}, headers=with_session),
        await app.http.post("/logout", data={"csrf": csrf}, headers=with_session),
        await app.http.post("/api/v1/signals", content=signal_texts.BUY, headers=with_session),
        await app.http.post("/api/v1/keys", json={}, headers=with_session),
        await app.http.post("/api/v1/tickets", headers=with_session),
    ]
    assert [response.status_code for response in responses] == [403] * len(responses)
    assert not any("set-cookie" in response.headers for response in responses)
    assert await app.execute_sql(ACCOUNTS) == before
    assert [key["label"] for key in (await account.get("/api/v1/keys"))["items"]] == ["first"]
    # With a key the same headers do no harm: a page that has one is its owner's.
    await account.send_signal(**{name: value for name, value in headers.items() if name == "Origin"})


async def test_own_page_changes_things_without_a_key(app: RunningApp, account: AccountClient) -> None:
    own = {"Origin": app.settings.web.base_url}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}
    hidden = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    for headers in (*own, hidden, {"Host": "localhost:9", "Origin": "https://localhost:9"}):
        response = await app.http.post("/login", data={"key": account.api_key}, headers=headers)
        assert response.status_code == 303, headers


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "a/json"]
)
async def test_json_is_read_as_json_only(app: RunningApp, account: AccountClient, media_type: str) -> None:
    before = await app.execute_sql(ACCOUNTS)
    headers = {"Content-Type": media_type}
    body = b'{"username": "plain", "broker_name": "mock", "account_id": "7", "api_key": "s3cret"}'
    responses = [
        await app.http.post("/accounts/", content=body, headers=headers),
        await account.request("POST", "/api/v1/keys", content=b"{}", headers=headers),
        await account.request("POST", "/api/v1/tickets", content=b"{}", headers=headers),
    ]
    problems = [(response.status_code, response.json()["code"]) for response in responses]
    assert problems == [(415, "unsupported_media_type")] * len(responses)
    assert await app.execute_sql(ACCOUNTS) == before
    await account.send_signal(content_type=media_type)


async def test_json_may_name_its_charset(account: AccountClient) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await account.request("POST", "/api/v1/keys", content=b"{}", headers=headers)).status_code == 201
