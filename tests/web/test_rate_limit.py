"""The rate limit of signals, and the registration modes."""

import pytest

from signalhub.settings import Settings
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.in_process_client import open_in_process_client
from tests.kit.servers import Servers


@pytest.fixture(scope="module")
async def limited(servers: Servers) -> Settings:
    return await servers.create_settings(rate_limit=3)


async def test_rate_limit_headers_count_down(limited: Settings) -> None:
    async with open_in_process_client(limited) as http:
        account = await AccountClient.register(http)
        remaining = []
        for text in (signal_texts.BUY, signal_texts.MISSING_STOP, signal_texts.SELL):
            response = await account.request("POST", "/api/v1/signals", content=text)
            assert response.headers["RateLimit-Policy"] == '"signals";q=3;w=60'
            remaining.append(response.headers["RateLimit"])
        assert remaining == ['"signals";r=2;t=20', '"signals";r=1;t=40', '"signals";r=0;t=60']


@pytest.mark.parametrize("path", ["/api/v1/signals", "/webhook/receive-signal/"])
async def test_rate_limit_rejects_with_retry_after(limited: Settings, path: str) -> None:
    async with open_in_process_client(limited) as http:
        account = await AccountClient.register(http)
        for _ in range(3):
            await account.send_signal()
        response = await account.request("POST", path, content=signal_texts.BUY)
        assert (response.status_code, response.json()["code"]) == (429, "too_many_requests")
        assert 15 <= int(response.headers["Retry-After"]) <= 20
        assert response.headers["RateLimit"].startswith('"signals";r=0;t=')
        assert len((await account.get("/api/v1/orders"))["items"]) == 3


async def test_rate_limited_hook_answers_503(limited: Settings) -> None:
    async with open_in_process_client(limited) as http:
        account = await AccountClient.register(http)
        hook = await account.post("/api/v1/hooks", {})
        for _ in range(3):
            assert (await http.post(hook["path"], content=signal_texts.BUY)).status_code == 202
        response = await http.post(hook["path"], content=signal_texts.BUY)
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response.headers["Retry-After"]


async def test_rate_limit_is_per_account(limited: Settings) -> None:
    async with open_in_process_client(limited) as http:
        limited_account, other_account = await AccountClient.register(http), await AccountClient.register(http)
        for _ in range(4):
            await limited_account.request("POST", "/api/v1/signals", content=signal_texts.BUY)
        await other_account.send_signal()


async def test_disabled_rate_limit_sends_no_headers(account: AccountClient) -> None:
    response = await account.request("POST", "/api/v1/signals", content=signal_texts.BUY)
    assert "RateLimit" not in response.headers


MODES = {
    "open": ({"registration": "open", "host": "0.0.0.0"}, {}, 201),  # noqa: S104 - never bound
    "auto on loopback": ({}, {}, 201),
    "auto elsewhere": ({"host": "0.0.0.0"}, {}, 403),  # noqa: S104 - the same
    "auto with a public URL": ({"public_url": "https://signals.example.com"}, {}, 403),
    "auto with a local public URL": ({"public_url": "http://localhost:8000"}, {}, 201),
    "auto with a name of another host": ({}, {"Host": "signals.example.com"}, 403),
    "auto with a local name": ({}, {"Host": "localhost:9000"}, 201),
    "auto through a proxy": ({}, {"X-Forwarded-For": "192.0.2.1"}, 403),
    "auto through a proxy that names the host": ({}, {"X-Forwarded-Host": "127.0.0.1"}, 403),
    "auto through a proxy of RFC 7239": ({}, {"Forwarded": "for=192.0.2.1"}, 403),
    "open through a proxy": ({"registration": "open"}, {"X-Forwarded-For": "192.0.2.1"}, 201),
    "closed": ({"registration": "closed"}, {}, 403),
    "token": ({"registration": "token", "registration_token": "t0ken"}, {"X-Registration-Token": "t0ken"}, 201),
    "wrong token": ({"registration": "token", "registration_token": "t0ken"}, {"X-Registration-Token": "other"}, 403),
    "no token": ({"registration": "token", "registration_token": "t0ken"}, {}, 403),
    "token mode without a token": ({"registration": "token"}, {"X-Registration-Token": ""}, 403),
}


@pytest.mark.parametrize("mode", MODES)
async def test_registration_mode_controls_registration(servers: Servers, mode: str) -> None:
    changes, headers, status = MODES[mode]
    body = {"username": "first", "broker_name": "mock", "account_id": "7", "api_key": "s3cret"}
    async with open_in_process_client(await servers.create_settings(**changes)) as http:
        response = await http.post("/accounts/", json=body, headers=headers)
    assert response.status_code == status, response.text
    if status == 403:
        assert response.json()["code"] == "registration_closed"
