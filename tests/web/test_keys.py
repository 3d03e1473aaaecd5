"""API keys: scopes, expiry, rotation, and the error code of each kind of invalid key."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest

from signalhub.container import build_services
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError
from signalhub.services import auth, keys_and_hooks, tickets
from signalhub.services.auth import SCOPES
from signalhub.services.keys_and_hooks import NewKey
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.in_process_client import open_in_process_client
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp
from tests.kit.servers import Servers

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
    ("POST", "/api/v1/hooks/x/rotate"): "account:admin",
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

    assert await wait_until(is_expired, interval_s=0.1)


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


class FastClock(datetime):
    """A clock that is ten minutes ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "FastClock":
        return super().now(tz) + timedelta(minutes=10)


@pytest.fixture
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock of this process, not that of the database and of the web process, ten minutes ahead."""
    for module in (auth, keys_and_hooks, tickets):
        monkeypatch.setattr(module, "datetime", FastClock, raising=False)


@pytest.mark.usefixtures("fast_clock")
async def test_key_revoked_by_a_process_whose_clock_is_ahead_is_revoked(
    app: RunningApp, account: AccountClient
) -> None:
    created = await account.post("/api/v1/keys", {})
    await app.services.keys.revoke(account.id, created["id"])
    await wait_until(lambda: _has_error(account, created["api_key"], "revoked_key"), interval_s=0.1)
    (_, key) = (await account.get("/api/v1/keys"))["items"]
    assert datetime.fromisoformat(key["revoked_at"]) < datetime.now(UTC) + timedelta(seconds=60)


async def test_revocation_in_the_future_counts_at_once(app: RunningApp, account: AccountClient) -> None:
    """An earlier version stored the time of its own clock."""
    created, hook = await account.post("/api/v1/keys", {}), await account.post("/api/v1/hooks", {})
    for table, id_ in (("api_keys", created["id"]), ("hooks", hook["id"])):
        await app.execute_sql(f"UPDATE {table} SET revoked_at = now() + interval '1 hour' WHERE id = :id", id=id_)  # noqa: S608 - names from here
    assert await _get_error(account, created["api_key"]) == (401, "revoked_key")
    assert await app.services.authenticator.find_inactive_keys([created["id"]]) == {created["id"]}
    assert (await account.http.post(hook["path"], content=signal_texts.BUY)).status_code == 401


@pytest.mark.usefixtures("fast_clock")
async def test_expiry_and_tickets_go_by_the_clock_of_the_database(app: RunningApp, account: AccountClient) -> None:
    lasting = await app.services.keys.create(account.id, NewKey(), lifetime=timedelta(minutes=5))
    rotated = await app.services.keys.rotate(account.id, lasting.id, 0)
    assert lasting.expires_at is not None
    assert abs(lasting.expires_at - datetime.now(UTC)) < timedelta(minutes=6)
    assert rotated.expires_at == lasting.expires_at
    await wait_until(lambda: _has_error(account, lasting.api_key or "", "expired_key"), interval_s=0.1)
    # This process would take it for expired; for the web process, whose clock is right, it is not.
    principal = await app.services.authenticator.authenticate_key(rotated.api_key or "")
    ticket = await app.services.tickets.issue(principal.credential_id, purpose="sht", ttl_s=1)
    assert await app.services.tickets.redeem(ticket, purpose="sht", keep=True) == rotated.id
    await asyncio.sleep(1.1)
    with pytest.raises(SignalHubError, match="bad_ticket"):
        await app.services.tickets.redeem(ticket, purpose="sht")


async def _has_error(account: AccountClient, key: str, code: str) -> bool:
    return await _get_error(account, key) == (401, code)


async def test_rotation_keeps_the_expiry(account: AccountClient) -> None:
    expires_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    created = await account.post("/api/v1/keys", {"expires_at": expires_at})
    rotated = await account.post(f"/api/v1/keys/{created['id']}/rotate", {"overlap_s": 86_400})
    old = next(key for key in (await account.get("/api/v1/keys"))["items"] if key["id"] == created["id"])
    assert rotated["expires_at"] == old["expires_at"] == created["expires_at"]
    assert (await account.post(f"/api/v1/keys/{account.api_key.split('_')[1]}/rotate"))["expires_at"] is None


@pytest.mark.parametrize("end", ["revoked_at", "expires_at"])
async def test_key_that_has_ended_is_not_rotated(app: RunningApp, account: AccountClient, end: str) -> None:
    created = await account.post("/api/v1/keys", {})
    await app.execute_sql(f"UPDATE api_keys SET {end} = now() WHERE id = :id", id=created["id"])  # noqa: S608 - a name from here
    response = await account.request("POST", f"/api/v1/keys/{created['id']}/rotate")
    assert (response.status_code, response.json()["code"]) == (409, "inactive_credential")
    assert len((await account.get("/api/v1/keys"))["items"]) == 2


async def test_key_grants_only_scopes_that_it_has(account: AccountClient) -> None:
    full, reader = (
        await account.post("/api/v1/keys", {}),
        await account.post("/api/v1/keys", {"scopes": ["orders:read"]}),
    )
    limited = await account.post("/api/v1/keys", {"scopes": ["account:admin", "orders:read"]})
    admin = account.with_key(limited["api_key"])
    for path, body in (
        ("/api/v1/keys", {}),
        ("/api/v1/keys", {"scopes": ["orders:read", "orders:write"]}),
        (f"/api/v1/keys/{full['id']}/rotate", {}),
        ("/api/v1/hooks", {}),
    ):
        response = await admin.request("POST", path, json=body)
        assert (response.status_code, response.json()["code"]) == (403, "missing_scope"), (path, body)
    assert (await admin.post("/api/v1/keys", {"scopes": ["orders:read"]}))["scopes"] == ["orders:read"]
    assert (await admin.post(f"/api/v1/keys/{reader['id']}/rotate"))["scopes"] == ["orders:read"]


@pytest.mark.parametrize("body", [{"scopes": []}, {"scopes": ["orders:read"] * 5}, {"label": "x" * 151}])
async def test_scopes_and_label_of_a_key_are_limited(account: AccountClient, body: dict[str, object]) -> None:
    response = await account.request("POST", "/api/v1/keys", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_repeated_scope_is_stored_once(account: AccountClient) -> None:
    created = await account.post("/api/v1/keys", {"label": "x" * 150, "scopes": ["orders:read"] * 2})
    assert created["scopes"] == ["orders:read"]


async def test_key_with_a_long_label_of_an_earlier_version_is_rotated(app: RunningApp, account: AccountClient) -> None:
    created = await account.post("/api/v1/keys", {})
    await app.execute_sql("UPDATE api_keys SET label = repeat('x', 200) WHERE id = :id", id=created["id"])
    assert (await account.post(f"/api/v1/keys/{created['id']}/rotate"))["label"] == "x" * 200


async def create_beyond_limit(
    account: AccountClient, path: str, bodies: list[dict[str, str] | None]
) -> tuple[int, int, str]:
    """Create as many as there are bodies, at once and then one by one; return how many there are, and the refusal."""
    responses = await asyncio.gather(*(account.request("POST", path, json=body) for body in bodies))
    created = sum(response.status_code == 201 for response in responses)
    for body in bodies:
        response = await account.request("POST", path, json=body)
        if response.status_code != 201:
            break
        created += 1
    return created, response.status_code, response.json()["code"]


async def test_number_of_credentials_of_an_account_is_limited(servers: Servers) -> None:
    """Also of concurrent requests; one that has ended makes room. The account has a key and a broker account."""
    settings = await servers.create_settings(max_keys=3, max_hooks=3, max_broker_accounts=3, max_tickets=3)
    brokers = [{"broker_name": f"broker {n}", "api_key": "s", "account_id": "7"} for n in range(8)]
    async with open_in_process_client(settings) as http:
        account = await AccountClient.register(http)
        assert await create_beyond_limit(account, "/api/v1/hooks", [{}] * 8) == (3, 409, "too_many_hooks")
        assert await create_beyond_limit(account, "/api/v1/tickets", [None] * 8) == (3, 429, "too_many_tickets")
        created = await create_beyond_limit(account, "/api/v1/broker-accounts", [*brokers])
        assert created == (2, 409, "too_many_broker_accounts")
        assert await create_beyond_limit(account, "/api/v1/keys", [{}] * 8) == (2, 409, "too_many_keys")
        key_id = account.api_key.split("_")[1]
        assert (await account.request("POST", f"/api/v1/keys/{key_id}/rotate")).json()["code"] == "too_many_keys"
        for path in ("/api/v1/keys", "/api/v1/hooks"):
            last = (await account.get(path))["items"][-1]
            assert (await account.request("DELETE", f"{path}/{last['id']}")).is_success
            assert (await account.request("POST", path, json={})).status_code == 201
