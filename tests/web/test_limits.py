"""Too many signals: told in time, in the words each sender understands."""

import pytest

from signalhub.settings import Settings
from tests.kit import texts
from tests.kit.servers import Servers
from tests.kit.serving import open_in_process_client
from tests.kit.trader import AccountClient


@pytest.fixture(scope="module")
async def limited(servers: Servers) -> Settings:
    return await servers.create_settings(rate_limit=3)


async def test_every_answer_says_how_much_is_left(limited: Settings) -> None:
    async with open_in_process_client(limited) as http:
        trader = await AccountClient.register(http)
        left = []
        for text in (texts.BUY, texts.MISSING_STOP, texts.SELL):
            response = await trader.request("POST", "/api/v1/signals", content=text)
            assert response.headers["RateLimit-Policy"] == '"signals";q=3;w=60'
            left.append(response.headers["RateLimit"])
        assert left == ['"signals";r=2;t=20', '"signals";r=1;t=40', '"signals";r=0;t=60']


@pytest.mark.parametrize("path", ["/api/v1/signals", "/webhook/receive-signal/"])
async def test_too_many_are_refused_with_the_time_to_wait(limited: Settings, path: str) -> None:
    async with open_in_process_client(limited) as http:
        trader = await AccountClient.register(http)
        for _ in range(3):
            await trader.send_signal()
        response = await trader.request("POST", path, content=texts.BUY)
        assert (response.status_code, response.json()["code"]) == (429, "too_many_requests")
        assert 15 <= int(response.headers["Retry-After"]) <= 20
        assert response.headers["RateLimit"].startswith('"signals";r=0;t=')
        assert len((await trader.get("/api/v1/orders"))["items"]) == 3


async def test_a_hook_says_503_because_its_senders_come_again_on_that_only(limited: Settings) -> None:
    async with open_in_process_client(limited) as http:
        trader = await AccountClient.register(http)
        hook = await trader.post("/api/v1/hooks", {})
        for _ in range(3):
            assert (await http.post(hook["path"], content=texts.BUY)).status_code == 202
        response = await http.post(hook["path"], content=texts.BUY)
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response.headers["Retry-After"]


async def test_one_account_s_haste_is_no_other_account_s_wait(limited: Settings) -> None:
    async with open_in_process_client(limited) as http:
        hasty, calm = await AccountClient.register(http), await AccountClient.register(http)
        for _ in range(4):
            await hasty.request("POST", "/api/v1/signals", content=texts.BUY)
        await calm.send_signal()


async def test_without_a_limit_there_is_nothing_to_say(trader: AccountClient) -> None:
    response = await trader.request("POST", "/api/v1/signals", content=texts.BUY)
    assert "RateLimit" not in response.headers


MODES = {
    "open": ({"registration": "open", "host": "0.0.0.0"}, {}, 201),  # noqa: S104 - never bound
    "auto on loopback": ({}, {}, 201),
    "auto elsewhere": ({"host": "0.0.0.0"}, {}, 403),  # noqa: S104 - the same
    "closed": ({"registration": "closed"}, {}, 403),
    "token": ({"registration": "token", "registration_token": "t0ken"}, {"X-Registration-Token": "t0ken"}, 201),
    "wrong token": ({"registration": "token", "registration_token": "t0ken"}, {"X-Registration-Token": "other"}, 403),
    "no token": ({"registration": "token", "registration_token": "t0ken"}, {}, 403),
    "token mode without a token": ({"registration": "token"}, {"X-Registration-Token": ""}, 403),
}


@pytest.mark.parametrize("mode", MODES)
async def test_registration_is_as_open_as_the_settings_say(servers: Servers, mode: str) -> None:
    changes, headers, status = MODES[mode]
    body = {"username": "first", "broker_name": "mock", "account_id": "7", "api_key": "s3cret"}
    async with open_in_process_client(await servers.create_settings(**changes)) as http:
        response = await http.post("/accounts/", json=body, headers=headers)
    assert response.status_code == status, response.text
    if status == 403:
        assert response.json()["code"] == "registration_closed"
