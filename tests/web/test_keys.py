"""API keys: scopes, ends, rotation; and which of the things that can be wrong with one it is."""

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

NEEDS = {
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


async def _refusal(account: AccountClient, key: str) -> tuple[int, str]:
    response = await account.with_key(key).request("GET", "/api/v1/orders")
    assert key not in response.text
    return response.status_code, response.json().get("code", "")


@pytest.mark.parametrize(("method", "path"), NEEDS)
async def test_every_path_requires_key_and_scope(app: RunningApp, method: str, path: str) -> None:
    account = await app.create_account()
    body: dict[str, Any] = (
        {"content": signal_texts.BUY} if "signal" in path else {"json": {}} if method == "POST" else {}
    )
    nobody = await account.http.request(method, path, **body)
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
    assert nobody.headers["WWW-Authenticate"].startswith("Bearer")
    others = [scope for scope in SCOPES if scope != NEEDS[method, path]]
    made = await account.post("/api/v1/keys", {"scopes": others})
    forbidden = await account.with_key(made["api_key"]).request(method, path, **body)
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "missing_scope")


@pytest.mark.parametrize("scope", SCOPES)
async def test_scope_grants_its_paths(app: RunningApp, scope: str) -> None:
    account = await app.create_account()
    made = await account.post("/api/v1/keys", {"scopes": [scope]})
    method, path = next(name for name, needed in NEEDS.items() if needed == scope)
    response = await account.with_key(made["api_key"]).request(
        method, path, content=signal_texts.BUY if "signal" in path else b""
    )
    assert response.status_code in {200, 202, 404}, response.text


async def test_key_is_shown_once_and_stored_as_hash(app: RunningApp, account: AccountClient) -> None:
    made = await account.post("/api/v1/keys", {"label": "bot"})
    listed = (await account.get("/api/v1/keys"))["items"]
    assert [(key["label"], key["api_key"]) for key in listed] == [("first", None), ("bot", None)]
    rows = str(await app.execute_sql("SELECT api_keys::text FROM api_keys WHERE id = :id", id=made["id"]))
    secret = made["api_key"].split("_")[2]
    assert secret not in rows
    assert secret.encode().hex() not in rows


@pytest.mark.parametrize("header", ["X-API-Key", "x-api-key", "Authorization"])
async def test_key_is_accepted_in_both_headers(account: AccountClient, header: str) -> None:
    value = account.api_key if header.lower() == "x-api-key" else f"Bearer {account.api_key}"
    assert (await account.http.get("/api/v1/orders", headers={header: value})).status_code == 200


async def test_mistyped_unknown_and_revoked_keys_have_own_codes(account: AccountClient) -> None:
    made = await account.post("/api/v1/keys", {})
    await account.request("DELETE", f"/api/v1/keys/{made['id']}")
    swapped = account.api_key[:30] + ("a" if account.api_key[30] != "a" else "b") + account.api_key[31:]
    assert await _refusal(account, swapped) == (401, "mistyped_key")
    assert await _refusal(account, account.api_key[:-3]) == (401, "mistyped_key")
    assert await _refusal(account, identifiers.mint_token("shk", b"\7" * 48).text) == (401, "unknown_key")
    assert await _refusal(account, made["api_key"]) == (401, "revoked_key")


async def test_known_key_id_with_wrong_secret_is_unknown(account: AccountClient) -> None:
    key_id = account.api_key.split("_")[1]
    other = identifiers.mint_token("shk", b"\7" * 48).text
    forged = f"shk_{key_id}_{other.split('_')[2][:43]}"
    assert (await _refusal(account, forged + identifiers._checksum(forged)))[1] == "unknown_key"  # noqa: SLF001 - a forger knows it


async def test_expired_key_is_rejected(account: AccountClient) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    made = await account.post("/api/v1/keys", {"expires_at": past})
    assert await _refusal(account, made["api_key"]) == (401, "expired_key")


async def test_revoked_key_is_rejected_by_every_process_within_five_seconds(
    app: RunningApp, account: AccountClient
) -> None:
    """Revoked in one process while the other has just used it."""
    made = await account.post("/api/v1/keys", {})
    await app.services.authenticator.authenticate_key(made["api_key"])
    assert (await account.with_key(made["api_key"]).request("GET", "/api/v1/orders")).status_code == 200
    await account.request("DELETE", f"/api/v1/keys/{made['id']}")

    async def is_dead_there() -> bool:
        return await _refusal(account, made["api_key"]) == (401, "revoked_key")

    async def is_dead_here() -> bool:
        try:
            await app.services.authenticator.authenticate_key(made["api_key"])
        except SignalHubError as error:
            return error.code == "revoked_key"
        return False

    async with asyncio.timeout(5):
        await asyncio.gather(wait_until(is_dead_there, interval_s=0.1), wait_until(is_dead_here, interval_s=0.1))


async def test_rotated_key_works_during_overlap(account: AccountClient) -> None:
    made = await account.post("/api/v1/keys", {"label": "bot", "scopes": ["orders:read"]})
    fresh = await account.post(f"/api/v1/keys/{made['id']}/rotate", {"overlap_s": 60})
    assert (fresh["label"], fresh["scopes"]) == ("bot", ["orders:read"])
    for key in (made["api_key"], fresh["api_key"]):
        assert (await account.with_key(key).request("GET", "/api/v1/orders")).status_code == 200
    old = next(one for one in (await account.get("/api/v1/keys"))["items"] if one["id"] == made["id"])
    assert datetime.fromisoformat(old["expires_at"]) <= datetime.now(UTC) + timedelta(seconds=61)
    await account.post(f"/api/v1/keys/{fresh['id']}/rotate", {"overlap_s": 0})

    async def is_over() -> bool:
        return await _refusal(account, fresh["api_key"]) == (401, "expired_key")

    assert await wait_until(is_over, timeout_s=5, interval_s=0.1)


async def test_key_changes_are_in_event_log(account: AccountClient) -> None:
    made = await account.post("/api/v1/keys", {"label": "bot"})
    fresh = await account.post(f"/api/v1/keys/{made['id']}/rotate")
    await account.request("DELETE", f"/api/v1/keys/{fresh['id']}")
    await account.request("DELETE", f"/api/v1/keys/{fresh['id']}")
    events = await account.list_events(after=1)
    assert [event["type"] for event in events] == ["key.created", "key.rotated", "key.revoked"]
    assert made["api_key"].split("_")[2] not in str(events)


@pytest.mark.parametrize(
    "body",
    [{"scopes": ["everything"]}, {"expires_at": "2030-01-01T00:00:00"}, {"nonsense": 1}, {"label": 5}, [], "x", 7],
)
async def test_invalid_key_request_is_rejected(account: AccountClient, body: object) -> None:
    response = await account.request("POST", "/api/v1/keys", json=body)
    assert response.status_code in {400, 422}
    assert response.headers["content-type"] == "application/problem+json"


async def test_key_of_another_account_is_not_found(account: AccountClient, other_account: AccountClient) -> None:
    made = await account.post("/api/v1/keys", {})
    for method, path in (("DELETE", ""), ("POST", "/rotate")):
        assert (await other_account.request(method, f"/api/v1/keys/{made['id']}{path}")).status_code == 404
    assert made["id"] not in str(await other_account.get("/api/v1/keys"))


async def test_key_last_use_is_recorded(app: RunningApp, account: AccountClient) -> None:
    house = build_services(app.settings, "web")
    await house.authenticator.authenticate_key(account.api_key)
    await house.authenticator.record_uses()
    (key,) = (await account.get("/api/v1/keys"))["items"]
    assert datetime.now(UTC) - datetime.fromisoformat(key["last_used_at"]) < timedelta(seconds=30)
    await house.close()
