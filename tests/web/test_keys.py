"""API keys: scopes, expiry, rotation, and the error code of each kind of invalid key."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from signalhub.container import build_services
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError
from signalhub.services.auth import SCOPES
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp

REQUIRED_SCOPES = {
    ("POST", "/api/v1/signals"): "signals:write",
    ("POST", "/api/v1/signals/parse"): "signals:write",
    ("POST", "/webhook/receive-signal/"): "signals:write",
    ("POST", "/api/v1/broker/webhook/receive-signal/"): "signals:write",
    ("GET", "/api/v1/signals"): "orders:read",
    ("GET", "/api/v1/orders"): "orders:read",
    ("GET", "/api/v1/orders/x"): "orders:read",
    ("GET", "/api/v1/orders/x/events"): "orders:read",
    ("GET", "/api/v1/events"): "orders:read",
    ("GET", "/api/v1/analytics"): "orders:read",
    ("GET", "/api/v1/receipts/x"): "orders:read",
    ("GET", "/orders/"): "orders:read",
    ("GET", "/orders/x/"): "orders:read",
    ("GET", "/analytics/"): "orders:read",
    ("GET", "/api/v1/stream"): "orders:read",
    ("POST", "/api/v1/tickets"): "orders:read",
    ("POST", "/api/v1/orders/x/cancel"): "orders:write",
    ("POST", "/api/v1/orders/x/close"): "orders:write",
    ("GET", "/api/v1/keys"): "account:admin",
    ("POST", "/api/v1/keys"): "account:admin",
    ("DELETE", "/api/v1/keys/x"): "account:admin",
    ("POST", "/api/v1/keys/x/rotate"): "account:admin",
    ("GET", "/api/v1/hooks"): "account:admin",
    ("POST", "/api/v1/hooks"): "account:admin",
    ("GET", "/api/v1/broker-accounts"): "account:admin",
}


async def _get_error(account: AccountClient, key: str) -> tuple[int, str]:
    response = await account.with_key(key).request("GET", "/api/v1/orders")
    assert key not in response.text
    return response.status_code, response.json().get("code", "")


@pytest.mark.parametrize(("method", "path"), REQUIRED_SCOPES)
async def test_every_path_requires_key_and_scope(app: RunningApp, method: str, path: str) -> None:
    account = await app.create_account()
    body: dict[str, Any] = (
        {"content": signal_texts.BUY} if "signal" in path else {"json": {}} if method == "POST" else {}
    )
    anonymous = await account.http.request(method, path, **body)
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "unauthenticated")
    assert anonymous.headers["WWW-Authenticate"].startswith("Bearer")
    others = [scope for scope in SCOPES if scope != REQUIRED_SCOPES[method, path]]
    created = await account.post("/api/v1/keys", {"scopes": others})
    forbidden = await account.with_key(created["api_key"]).request(method, path, **body)
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "missing_scope")


@pytest.mark.parametrize(
    "path", ["/api/v1/orders?limit=many", "/api/v1/orders?since=yesterday", "/api/v1/events?limit=0"]
)
async def test_missing_key_is_reported_before_invalid_query(account: AccountClient, path: str) -> None:
    anonymous = await account.http.get(path)
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "unauthenticated")
    assert (await account.request("GET", path)).status_code == 422


@pytest.mark.parametrize("scope", SCOPES)
async def test_scope_grants_its_paths(app: RunningApp, scope: str) -> None:
    account = await app.create_account()
    created = await account.post("/api/v1/keys", {"scopes": [scope]})
    method, path = next(route for route, required in REQUIRED_SCOPES.items() if required == scope)
    response = await account.with_key(created["api_key"]).request(
        method, path, content=signal_texts.BUY if "signal" in path else b""
    )
    assert response.status_code in {200, 202, 404}, response.text


async def test_key_is_shown_once_and_stored_as_hash(app: RunningApp, account: AccountClient) -> None:
    created = await account.post("/api/v1/keys", {"label": "bot"})
    listed = (await account.get("/api/v1/keys"))["items"]
    assert [(key["label"], key["api_key"]) for key in listed] == [("first", None), ("bot", None)]
    rows = str(await app.execute_sql("SELECT api_keys::text FROM api_keys WHERE id = :id", id=created["id"]))
    secret = created["api_key"].split("_")[2]
    assert secret not in rows
    assert secret.encode().hex() not in rows


@pytest.mark.parametrize("header", ["X-API-Key", "x-api-key", "Authorization"])
async def test_key_is_accepted_in_both_headers(account: AccountClient, header: str) -> None:
    value = account.api_key if header.lower() == "x-api-key" else f"Bearer {account.api_key}"
    assert (await account.http.get("/api/v1/orders", headers={header: value})).status_code == 200


async def test_mistyped_unknown_and_revoked_keys_have_own_codes(account: AccountClient) -> None:
    created = await account.post("/api/v1/keys", {})
    await account.request("DELETE", f"/api/v1/keys/{created['id']}")
    swapped = account.api_key[:30] + ("a" if account.api_key[30] != "a" else "b") + account.api_key[31:]
    assert await _get_error(account, swapped) == (401, "mistyped_key")
    assert await _get_error(account, account.api_key[:-3]) == (401, "mistyped_key")
    assert await _get_error(account, identifiers.mint_token("shk", b"\7" * 48).text) == (401, "unknown_key")
    assert await _get_error(account, created["api_key"]) == (401, "revoked_key")


async def test_known_key_id_with_wrong_secret_is_unknown(account: AccountClient) -> None:
    # An id is the entropy's first 12 bytes in base 62, so entropy for a given id can be computed.
    alphabet = [identifiers.mint_token("shk", bytes([0] * 11 + [digit] + [0] * 36)).id[0] for digit in range(62)]
    key_id = account.api_key.split("_")[1]
    number = sum(alphabet.index(character) * 62**index for index, character in enumerate(key_id))
    forged = identifiers.mint_token("shk", number.to_bytes(12, "big") + b"\7" * 36)
    assert forged.id == key_id
    assert (await _get_error(account, forged.text))[1] == "unknown_key"


async def test_expired_key_is_rejected(account: AccountClient) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    created = await account.post("/api/v1/keys", {"expires_at": past})
    assert await _get_error(account, created["api_key"]) == (401, "expired_key")


async def test_revoked_key_is_rejected_by_every_process_within_five_seconds(
    app: RunningApp, account: AccountClient
) -> None:
    """The key is revoked in one process and cached in the other."""
    created = await account.post("/api/v1/keys", {})
    await app.services.authenticator.authenticate_key(created["api_key"])
    assert (await account.with_key(created["api_key"]).request("GET", "/api/v1/orders")).status_code == 200
    await account.request("DELETE", f"/api/v1/keys/{created['id']}")

    async def is_revoked_there() -> bool:
        return await _get_error(account, created["api_key"]) == (401, "revoked_key")

    async def is_revoked_here() -> bool:
        try:
            await app.services.authenticator.authenticate_key(created["api_key"])
        except SignalHubError as error:
            return error.code == "revoked_key"
        return False

    async with asyncio.timeout(5):
        await asyncio.gather(wait_until(is_revoked_there, interval_s=0.1), wait_until(is_revoked_here, interval_s=0.1))


async def test_rotated_key_works_during_overlap(account: AccountClient) -> None:
    created = await account.post("/api/v1/keys", {"label": "bot", "scopes": ["orders:read"]})
    rotated = await account.post(f"/api/v1/keys/{created['id']}/rotate", {"overlap_s": 60})
    assert (rotated["label"], rotated["scopes"]) == ("bot", ["orders:read"])
    for key in (created["api_key"], rotated["api_key"]):
        assert (await account.with_key(key).request("GET", "/api/v1/orders")).status_code == 200
    old = next(key for key in (await account.get("/api/v1/keys"))["items"] if key["id"] == created["id"])
    assert datetime.fromisoformat(old["expires_at"]) <= datetime.now(UTC) + timedelta(seconds=61)
    await account.post(f"/api/v1/keys/{rotated['id']}/rotate", {"overlap_s": 0})

    async def is_expired() -> bool:
        return await _get_error(account, rotated["api_key"]) == (401, "expired_key")

    assert await wait_until(is_expired, timeout_s=5, interval_s=0.1)


async def test_key_changes_are_in_event_log(account: AccountClient) -> None:
    created = await account.post("/api/v1/keys", {"label": "bot"})
    rotated = await account.post(f"/api/v1/keys/{created['id']}/rotate")
    await account.request("DELETE", f"/api/v1/keys/{rotated['id']}")
    await account.request("DELETE", f"/api/v1/keys/{rotated['id']}")
    events = await account.list_events(after=1)
    assert [event["type"] for event in events] == ["key.created", "key.rotated", "key.revoked"]
    assert created["api_key"].split("_")[2] not in str(events)


@pytest.mark.parametrize(
    "body",
    [{"scopes": ["everything"]}, {"expires_at": "2030-01-01T00:00:00"}, {"nonsense": 1}, {"label": 5}, [], "x", 7],
)
async def test_invalid_key_request_is_rejected(account: AccountClient, body: object) -> None:
    response = await account.request("POST", "/api/v1/keys", json=body)
    assert response.status_code in {400, 422}
    assert response.headers["content-type"] == "application/problem+json"


async def test_key_of_another_account_is_not_found(account: AccountClient, other_account: AccountClient) -> None:
    created = await account.post("/api/v1/keys", {})
    for method, path in (("DELETE", ""), ("POST", "/rotate")):
        assert (await other_account.request(method, f"/api/v1/keys/{created['id']}{path}")).status_code == 404
    assert created["id"] not in str(await other_account.get("/api/v1/keys"))


async def test_key_last_use_is_recorded(app: RunningApp, account: AccountClient) -> None:
    services = build_services(app.settings, "web")
    await services.authenticator.authenticate_key(account.api_key)
    await services.authenticator.record_uses()
    (key,) = (await account.get("/api/v1/keys"))["items"]
    assert datetime.now(UTC) - datetime.fromisoformat(key["last_used_at"]) < timedelta(seconds=30)
    await services.close()
