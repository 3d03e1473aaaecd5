"""Streams of browsers, which cannot set headers: a ticket for one use, then a cookie for the same stream."""

import asyncio
from http.cookies import SimpleCookie

import pytest
from sqlalchemy import text

from tests.kit.account_client import AccountClient, connect_websocket, receive_json
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp
from tests.kit.sse_stream import open_sse


async def _create_ticket(account: AccountClient) -> str:
    response = await account.request("POST", "/api/v1/tickets")
    assert response.is_success
    assert response.json() == {"ticket": response.json()["ticket"], "expires_in": 30}
    return str(response.json()["ticket"])


async def test_ticket_opens_sse_stream(account: AccountClient) -> None:
    async with open_sse(account.http, ticket=await _create_ticket(account), after=0) as stream:
        await stream.expect_ready()
        assert (await stream.next_event()).json["type"] == "account.created"


async def test_ticket_opens_websocket(account: AccountClient) -> None:
    async with connect_websocket(account.http, "/ws/stream", ticket=await _create_ticket(account)) as socket:
        assert (await receive_json(socket))["type"] == "stream.ready"


async def test_ticket_works_once(account: AccountClient) -> None:
    ticket = await _create_ticket(account)
    async with open_sse(account.http, ticket=ticket):
        response = await account.http.get("/api/v1/stream", params={"ticket": ticket})
    assert (response.status_code, response.json()["code"]) == (401, "bad_ticket")


async def test_ticket_is_redeemed_once_under_concurrency(account: AccountClient) -> None:
    ticket = await _create_ticket(account)

    async def redeem() -> int:
        async with account.http.stream("GET", "/api/v1/stream", params={"ticket": ticket}) as response:
            return response.status_code

    statuses = await asyncio.gather(*(redeem() for _ in range(64)))
    assert sorted(statuses) == [200] + [401] * 63


async def test_expired_ticket_is_rejected(app: RunningApp, account: AccountClient) -> None:
    ticket = await _create_ticket(account)
    await app.execute_sql("UPDATE tickets SET expires_at = now() - interval '1 s'")
    response = await account.http.get("/api/v1/stream", params={"ticket": ticket})
    assert (response.status_code, response.json()["code"]) == (401, "bad_ticket")


@pytest.mark.parametrize("ticket", ["", "nonsense", "sht_aaaaaaaaaaaa_", "shk_x", "\x00", "é"])
async def test_unknown_ticket_is_rejected(account: AccountClient, ticket: str) -> None:
    response = await account.http.get("/api/v1/stream", params={"ticket": ticket})
    assert response.status_code == 401


async def test_ticket_is_valid_for_streams_only(account: AccountClient) -> None:
    ticket = await _create_ticket(account)
    for headers in ({"X-API-Key": ticket}, {"Authorization": f"Bearer {ticket}"}):
        assert (await account.http.get("/api/v1/orders", headers=headers)).status_code == 401
    assert (await account.http.get("/api/v1/orders", params={"ticket": ticket})).status_code == 401


async def test_ticket_sets_a_stream_scoped_cookie(account: AccountClient) -> None:
    async with open_sse(account.http, ticket=await _create_ticket(account)) as stream:
        set_cookie = stream.response.headers["set-cookie"]
    (morsel,) = SimpleCookie(set_cookie).values()
    assert morsel["path"] == "/api/v1/stream"
    assert morsel["httponly"]
    assert morsel["samesite"].lower() == "strict"
    assert 0 < int(morsel["max-age"]) <= 3600
    assert account.api_key not in set_cookie
    cookie = {"Cookie": f"{morsel.key}={morsel.value}"}
    assert (await account.http.get("/api/v1/orders", headers=cookie)).status_code == 401


async def test_browser_reconnects_with_cookie_and_spent_ticket(account: AccountClient) -> None:
    """EventSource repeats its URL, with cookies and the last id it has received."""
    ticket = await _create_ticket(account)
    async with open_sse(account.http, ticket=ticket) as stream:
        ready = await stream.expect_ready()
        cookie = stream.response.headers["set-cookie"].partition(";")[0]
    await account.send_signal()
    for _ in range(2):
        headers = {"Cookie": cookie, "Last-Event-ID": str(ready.id)}
        async with open_sse(account.http, headers=headers, ticket=ticket) as stream:
            await stream.expect_ready()
            assert [frame.json["seq"] for frame in await stream.next_events(2)] == [2, 3]


async def test_browser_comes_back_after_an_outage_that_met_its_ticket(app: RunningApp, account: AccountClient) -> None:
    """The ticket is spent by then, and an EventSource repeats its URL."""
    headers, params = {"Accept": "text/event-stream"}, {"ticket": await _create_ticket(account), "source": "first"}
    async with app.services.engine.begin() as connection:
        await connection.execute(text("LOCK TABLE hooks IN ACCESS EXCLUSIVE MODE"))
        response = await account.http.get("/api/v1/stream", headers=headers, params=params)
    assert (response.status_code, b"stream.unavailable" in response.content) == (200, True)
    headers["Cookie"] = response.headers["set-cookie"].partition(";")[0]
    async with open_sse(account.http, headers=headers, **params) as stream:
        await stream.expect_ready()


async def test_cookie_expires_with_its_key(account: AccountClient) -> None:
    made = await account.post("/api/v1/keys", {"label": "browser"})
    browser = account.with_key(made["api_key"])
    ticket = await _create_ticket(browser)
    async with open_sse(account.http, ticket=ticket) as stream:
        cookie = stream.response.headers["set-cookie"].partition(";")[0]
        await account.request("DELETE", f"/api/v1/keys/{made['id']}")
        await stream.wait_until_closed(5)

    async def is_refused() -> bool:
        response = await account.http.get("/api/v1/stream", params={"ticket": ticket}, headers={"Cookie": cookie})
        return response.status_code == 401 and response.json()["code"] == "revoked_key"

    assert await wait_until(is_refused)


async def test_forged_cookie_is_rejected(account: AccountClient) -> None:
    for value in ("x", "gAAAAAB" + "A" * 90, "", "é"):
        cookie = {b"Cookie": b"signalhub_stream=" + value.encode()}
        assert (await account.http.get("/api/v1/stream", headers=cookie)).status_code == 401
