"""Registration in one transaction, and broker accounts with their encrypted secrets."""

import asyncio

import httpx
import pytest
from cryptography.fernet import Fernet
from msgspec.structs import replace

from signalhub.container import build_services
from signalhub.services.encryption import Encryption, EncryptionError
from signalhub.settings import Secret
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp

BODY = {"username": "alice", "broker_name": "mock", "account_id": "7", "api_key": "the broker's secret"}
COUNTS = (
    "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM broker_accounts), (SELECT count(*) FROM api_keys)"
)


@pytest.mark.parametrize(("path", "name"), [("/accounts/", "alice"), ("/accounts", "bob")])
async def test_registration_creates_broker_account_and_key(http: httpx.AsyncClient, path: str, name: str) -> None:
    response = await http.post(path, json=BODY | {"username": name})
    created = response.json()
    assert response.status_code == 201
    assert list(created) == ["message", "api_key", "user", "broker_account", "user_id"]
    assert created["user_id"] == created["user"]["id"]
    assert created["user"] == {"id": created["user"]["id"], "username": name}
    assert list(created["broker_account"]) == ["id", "broker_name", "account_id", "is_active", "created_at"]
    assert (created["broker_account"]["account_id"], created["broker_account"]["is_active"]) == ("7", True)
    assert "the broker's secret" not in response.text
    account = AccountClient(http, created["user"]["id"], created["api_key"])
    assert [event["type"] for event in await account.list_events()] == ["account.created"]


async def test_concurrent_registrations_of_one_username_create_one_account(app: RunningApp) -> None:
    (before,) = await app.execute_sql(COUNTS)
    responses = await asyncio.gather(
        *(app.http.post("/accounts/", json=BODY | {"username": "only one"}) for _ in range(8))
    )
    assert sorted(response.status_code for response in responses) == [201] + [409] * 7
    (after,) = await app.execute_sql(COUNTS)
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]  # type: ignore[operator]


@pytest.mark.parametrize(
    "change",
    [
        {"username": ""}, {"username": "x" * 151}, {"username": " padded"}, {"username": "a\x00b"}, {"api_key": ""},
        {"broker_name": None}, {"account_id": 7}, {"extra": "field"}, {"username": "a\nb"},
    ],
)  # fmt: skip
async def test_invalid_registration_stores_nothing(app: RunningApp, change: dict[str, object]) -> None:
    (before,) = await app.execute_sql(COUNTS)
    response = await app.http.post("/accounts/", json=BODY | change)
    assert response.status_code in {400, 422}, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert "the broker's secret" not in response.text
    assert await app.execute_sql(COUNTS) == [before]


async def test_broker_secret_is_encrypted_in_database(app: RunningApp, account: AccountClient) -> None:
    created = await account.post("/api/v1/broker-accounts", {k: v for k, v in BODY.items() if k != "username"} | {
        "account_id": "8"
    })  # fmt: skip
    ((secret, row),) = await app.execute_sql(
        "SELECT secret, broker_accounts::text FROM broker_accounts WHERE id = CAST(:id AS uuid)", id=created["id"]
    )
    assert isinstance(secret, bytes)
    assert b"broker's secret" not in secret
    assert "broker's secret" not in str(row)
    assert app.services.encryption.decrypt(f"broker account {created['id']}", secret) == "the broker's secret"
    with pytest.raises(EncryptionError):
        app.services.encryption.decrypt("broker account of somebody else", secret)


async def test_broker_account_is_linked_and_unlinked_with_its_secret(app: RunningApp, account: AccountClient) -> None:
    body = {"broker_name": "mock", "account_id": "9", "api_key": "s"}
    created = await account.post("/api/v1/broker-accounts", body)
    assert (await account.request("POST", "/api/v1/broker-accounts", json=body)).status_code == 409
    assert len((await account.get("/api/v1/broker-accounts"))["items"]) == 2
    assert (await account.request("DELETE", f"/api/v1/broker-accounts/{created['id']}")).is_success
    assert (await account.request("DELETE", f"/api/v1/broker-accounts/{created['id']}")).status_code == 404
    remaining = await app.execute_sql(
        "SELECT count(*) FROM broker_accounts WHERE id = CAST(:id AS uuid)", id=created["id"]
    )
    assert remaining == [(0,)]
    events = [event["type"] for event in await account.list_events(after=1)]
    assert events == ["account.broker_added", "account.broker_removed"]


async def test_broker_account_of_another_account_is_not_found(
    account: AccountClient, other_account: AccountClient
) -> None:
    created = (await account.get("/api/v1/broker-accounts"))["items"][0]
    assert (await other_account.request("DELETE", f"/api/v1/broker-accounts/{created['id']}")).status_code == 404
    assert (await account.get("/api/v1/broker-accounts"))["items"] == [created]


async def test_encryption_key_rotation_keeps_secrets_readable(app: RunningApp, account: AccountClient) -> None:
    old, new = str(app.settings.encryption_keys), Fernet.generate_key().decode()
    services = build_services(replace(app.settings, encryption_keys=Secret(f"{new},{old}")), "web")
    created = (await account.get("/api/v1/broker-accounts"))["items"][0]
    query = "SELECT secret FROM broker_accounts WHERE id = CAST(:id AS uuid)"
    try:
        assert await services.accounts.rotate_secrets() > 0
        ((secret,),) = await app.execute_sql(query, id=created["id"])
        assert isinstance(secret, bytes)
        assert Encryption(new).decrypt(f"broker account {created['id']}", secret) == "s3cret"
        with pytest.raises(EncryptionError):
            Encryption(old).decrypt(f"broker account {created['id']}", secret)
    finally:
        restored = build_services(replace(app.settings, encryption_keys=Secret(f"{old},{new}")), "web")
        await restored.accounts.rotate_secrets()
        for opened in (services, restored):
            await opened.close()
