"""How a browser connects, which cannot set headers: a ticket for once, then a cookie for the same stream."""

import asyncio
from http.cookies import SimpleCookie

import pytest

from tests.kit.hub import RunningApp
from tests.kit.sse import open_sse
from tests.kit.trader import AccountClient, connect_websocket, receive_json
from tests.kit.waiting import wait_until


async def _ticket(trader: AccountClient) -> str:
    response = await trader.request("POST", "/api/v1/tickets")
    assert response.is_success
    assert response.json() == {"ticket": response.json()["ticket"], "expires_in": 30}
    return str(response.json()["ticket"])


async def test_a_ticket_opens_a_stream_without_a_header(trader: AccountClient) -> None:
    async with open_sse(trader.http, ticket=await _ticket(trader), after=0) as stream:
        await stream.expect_ready()
        assert (await stream.next_event()).json["type"] == "account.created"


async def test_a_ticket_opens_a_socket_without_a_header(trader: AccountClient) -> None:
    async with connect_websocket(trader.http, "/ws/stream", ticket=await _ticket(trader)) as socket:
        assert (await receive_json(socket))["type"] == "stream.ready"


async def test_a_ticket_works_once(trader: AccountClient) -> None:
    ticket = await _ticket(trader)
    async with open_sse(trader.http, ticket=ticket):
        response = await trader.http.get("/api/v1/stream", params={"ticket": ticket})
    assert (response.status_code, response.json()["code"]) == (401, "bad_ticket")


async def test_of_sixty_four_at_once_one_gets_the_ticket_s_stream(trader: AccountClient) -> None:
    ticket = await _ticket(trader)

    async def try_it() -> int:
        async with trader.http.stream("GET", "/api/v1/stream", params={"ticket": ticket}) as response:
            return response.status_code

    statuses = await asyncio.gather(*(try_it() for _ in range(64)))
    assert sorted(statuses) == [200] + [401] * 63


async def test_an_old_ticket_opens_nothing(hub: RunningApp, trader: AccountClient) -> None:
    ticket = await _ticket(trader)
    await hub.execute_sql("UPDATE tickets SET expires_at = now() - interval '1 s'")
    response = await trader.http.get("/api/v1/stream", params={"ticket": ticket})
    assert (response.status_code, response.json()["code"]) == (401, "bad_ticket")


@pytest.mark.parametrize("ticket", ["", "nonsense", "sht_aaaaaaaaaaaa_", "shk_x", "\x00", "é"])
async def test_what_is_no_ticket_opens_nothing(trader: AccountClient, ticket: str) -> None:
    response = await trader.http.get("/api/v1/stream", params={"ticket": ticket})
    assert response.status_code == 401


async def test_a_ticket_opens_streams_and_nothing_else(trader: AccountClient) -> None:
    ticket = await _ticket(trader)
    for headers in ({"X-API-Key": ticket}, {"Authorization": f"Bearer {ticket}"}):
        assert (await trader.http.get("/api/v1/orders", headers=headers)).status_code == 401
    assert (await trader.http.get("/api/v1/orders", params={"ticket": ticket})).status_code == 401


async def test_a_ticket_leaves_a_cookie_for_this_stream_only(trader: AccountClient) -> None:
    async with open_sse(trader.http, ticket=await _ticket(trader)) as stream:
        set_cookie = stream.response.headers["set-cookie"]
    (morsel,) = SimpleCookie(set_cookie).values()
    assert morsel["path"] == "/api/v1/stream"
    assert morsel["httponly"]
    assert morsel["samesite"].lower() == "strict"
    assert 0 < int(morsel["max-age"]) <= 3600
    assert trader.api_key not in set_cookie
    cookie = {"Cookie": f"{morsel.key}={morsel.value}"}
    assert (await trader.http.get("/api/v1/orders", headers=cookie)).status_code == 401


async def test_a_browser_comes_back_by_itself_with_the_spent_ticket(trader: AccountClient) -> None:
    """EventSource repeats the address it was given, with its cookies and the last id it has seen."""
    ticket = await _ticket(trader)
    async with open_sse(trader.http, ticket=ticket) as stream:
        ready = await stream.expect_ready()
        cookie = stream.response.headers["set-cookie"].partition(";")[0]
    await trader.send_signal()
    for _ in range(2):
        back = {"Cookie": cookie, "Last-Event-ID": str(ready.id)}
        async with open_sse(trader.http, headers=back, ticket=ticket) as stream:
            await stream.expect_ready()
            assert [frame.json["seq"] for frame in await stream.next_events(2)] == [2, 3]


async def test_a_cookie_is_worth_what_its_key_is_worth(trader: AccountClient) -> None:
    made = await trader.post("/api/v1/keys", {"label": "browser"})
    browser = trader.with_key(made["api_key"])
    ticket = await _ticket(browser)
    async with open_sse(trader.http, ticket=ticket) as stream:
        cookie = stream.response.headers["set-cookie"].partition(";")[0]
        await trader.request("DELETE", f"/api/v1/keys/{made['id']}")
        await stream.wait_until_closed(5)

    async def is_refused() -> bool:
        response = await trader.http.get("/api/v1/stream", params={"ticket": ticket}, headers={"Cookie": cookie})
        return response.status_code == 401 and response.json()["code"] == "revoked_key"

    assert await wait_until(is_refused, timeout_s=5)


async def test_a_forged_cookie_opens_nothing(trader: AccountClient) -> None:
    for value in ("x", "gAAAAAB" + "A" * 90, "", "é"):
        cookie = {b"Cookie": b"signalhub_stream=" + value.encode()}
        assert (await trader.http.get("/api/v1/stream", headers=cookie)).status_code == 401
