"""Hook URLs, with and without signatures."""

import base64
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import standardwebhooks

from signalhub.web import webhook_signatures
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp

# The test constants of the Standard Webhooks repository.
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


class SignedHook:
    """A sender with the secret of a hook, which signs with the reference implementation."""

    def __init__(self, http: httpx.AsyncClient, created: dict[str, Any]) -> None:
        self.http, self.path, self.secret = http, created["path"], created["secret"]
        self._reference = standardwebhooks.Webhook(created["secret"])

    def headers(self, text: str, id_: str = "msg_1", sent_at: datetime | None = None) -> dict[str, str]:
        sent_at = sent_at or datetime.now(UTC)
        signature = self._reference.sign(id_, sent_at, text)
        return {"webhook-id": id_, "webhook-timestamp": str(int(sent_at.timestamp())), "webhook-signature": signature}

    async def send(self, text: str = signal_texts.BUY, **changes: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in changes.items()}
        return await self.http.post(self.path, content=text, headers=self.headers(text) | named)


@pytest.fixture
async def signed(account: AccountClient) -> SignedHook:
    return SignedHook(account.http, await account.post("/api/v1/hooks", {"is_signed": True}))


async def test_hook_token_only_accepts_signals(account: AccountClient) -> None:
    hook = await account.post("/api/v1/hooks", {"label": "tv"})
    for headers in ({"X-API-Key": hook["token"]}, {"Authorization": f"Bearer {hook['token']}"}):
        for path in ("/api/v1/orders", "/api/v1/events", "/api/v1/keys", "/api/v1/stream"):
            assert (await account.http.get(path, headers=headers)).status_code == 401
    assert (await account.http.get(hook["path"])).status_code == 405


async def test_hook_token_is_shown_once(account: AccountClient) -> None:
    created = await account.post("/api/v1/hooks", {"label": "tv", "is_signed": True})
    assert created["path"] == f"/hooks/{created['token']}"
    assert created["secret"].startswith("whsec_")
    (listed,) = (await account.get("/api/v1/hooks"))["items"]
    assert (listed["id"], listed["label"], listed["is_signed"]) == (created["id"], "tv", True)
    assert {listed[name] for name in ("token", "path", "secret")} == {None}


@pytest.mark.parametrize("token", ["x", "shh_", "shh_aaaaaaaaaaaa_bbb", "%00", "é", "x" * 150, "x" * 300])
async def test_unknown_hook_is_rejected(http: httpx.AsyncClient, token: str) -> None:
    response = await http.post(f"/hooks/{token}", content=signal_texts.BUY)
    assert response.status_code in {401, 404, 422}
    assert response.headers["content-type"] == "application/problem+json"
    assert token not in response.text or len(token) < 5


async def test_revoked_hook_is_rejected_within_five_seconds(account: AccountClient) -> None:
    hook = await account.post("/api/v1/hooks", {})
    assert (await account.http.post(hook["path"], content=signal_texts.BUY)).status_code == 202
    await account.request("DELETE", f"/api/v1/hooks/{hook['id']}")

    async def is_rejected() -> bool:
        return (await account.http.post(hook["path"], content=signal_texts.BUY)).status_code == 401

    assert await wait_until(is_rejected, timeout_s=5, interval_s=0.2)


async def test_hook_of_another_account_cannot_be_revoked(account: AccountClient, other_account: AccountClient) -> None:
    hook = await account.post("/api/v1/hooks", {})
    assert (await other_account.request("DELETE", f"/api/v1/hooks/{hook['id']}")).status_code == 404
    assert (await account.http.post(hook["path"], content=signal_texts.BUY)).status_code == 202


async def test_hook_secret_is_encrypted_in_database(app: RunningApp, account: AccountClient) -> None:
    created = await account.post("/api/v1/hooks", {"is_signed": True})
    rows = await app.execute_sql("SELECT hooks::text FROM hooks WHERE id = :id", id=created["id"])
    secret = created["secret"].removeprefix("whsec_")
    forms = {secret, secret.encode().hex(), base64.b64decode(secret).hex(), created["token"].split("_")[2]}
    assert not [form for form in forms if form in str(rows)]


def test_standard_webhooks_vector_verifies() -> None:
    sent_at = datetime.fromtimestamp(1_614_265_330, UTC)
    expected = standardwebhooks.Webhook(SECRET).sign(ID, sent_at, BODY.decode())
    assert b"v1," + webhook_signatures.sign(SECRET, ID, "1614265330", BODY) == expected.encode()
    assert expected == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_signed_signal_is_accepted(signed: SignedHook) -> None:
    response = await signed.send()
    assert response.status_code == 202, response.text


async def test_webhook_id_is_accepted_once(account: AccountClient, signed: SignedHook) -> None:
    first, again = [(await signed.send()).json() for _ in range(2)]
    assert again == first | {"duplicate": True}
    assert len((await account.get("/api/v1/orders"))["items"]) == 1


async def test_captured_request_cannot_be_replayed_with_idempotency_key(
    account: AccountClient, signed: SignedHook
) -> None:
    """Idempotency-Key is not signed: with it, a captured request could be sent again and again."""
    await signed.send()
    await signed.send(idempotency_key="a new one")
    assert len((await account.get("/api/v1/orders"))["items"]) == 1


async def test_any_matching_signature_is_accepted(signed: SignedHook) -> None:
    good = signed.headers(signal_texts.BUY)["webhook-signature"]
    response = await signed.send(webhook_signature=f"v1a,abc v1,AAAA {good} v2,zzz")
    assert response.status_code == 202


@pytest.mark.parametrize(("offset_s", "status"), [(-290, 202), (290, 202), (-310, 401), (310, 401), (-(10**6), 401)])
async def test_timestamp_tolerance_is_five_minutes(signed: SignedHook, offset_s: int, status: int) -> None:
    headers = signed.headers(signal_texts.BUY, sent_at=datetime.now(UTC) + timedelta(seconds=offset_s))
    assert (await signed.http.post(signed.path, content=signal_texts.BUY, headers=headers)).status_code == status


async def test_modified_body_is_rejected(signed: SignedHook) -> None:
    response = await signed.http.post(signed.path, content=signal_texts.SELL, headers=signed.headers(signal_texts.BUY))
    assert (response.status_code, response.json()["code"]) == (401, "bad_signature")


MALFORMED = {
    "webhook-id": ["", "other", "x" * 5000],
    "webhook-timestamp": ["", "now", "-1", "1e9", "٣", "9" * 400, "1.5", "+5", "0x10"],
    "webhook-signature": ["", "v1", "v1,", ",", "v1,###", "v1,é", "v2,abc", "v1,AAAA,BBBB", "x" * 9000, "v1 ,x"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MALFORMED.items() for value in values])
async def test_malformed_signature_headers_are_rejected(signed: SignedHook, name: str, value: str) -> None:
    headers = signed.headers(signal_texts.BUY) | {name: value}
    encoded = [(key.encode(), text.encode()) for key, text in headers.items()]
    response = await signed.http.post(signed.path, content=signal_texts.BUY, headers=encoded)
    assert response.status_code == 401, response.text


@pytest.mark.parametrize("missing", MALFORMED)
async def test_signed_hook_rejects_unsigned_request(signed: SignedHook, missing: str) -> None:
    headers = signed.headers(signal_texts.BUY)
    del headers[missing]
    response = await signed.http.post(signed.path, content=signal_texts.BUY, headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "bad_signature")
    assert (await signed.http.post(signed.path, content=signal_texts.BUY)).status_code == 401


def test_signature_covers_undecodable_bytes() -> None:
    now = time.time()
    signature = webhook_signatures.sign(SECRET, ID, str(int(now)), b"\xff\xfe")
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": f"v1,{signature.decode()}",
    }
    webhook_signatures.verify((SECRET,), headers, b"\xff\xfe", now)


async def test_webhook_id_of_a_refused_text_counts_once(account: AccountClient, signed: SignedHook) -> None:
    """Or whoever has captured the request could fill the account's log with it for five minutes."""
    headers = signed.headers("no signal")
    answers = [await signed.http.post(signed.path, content="no signal", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [422] * 3
    assert (
        len({(answer.json()["code"], answer.json()["detail"], str(answer.json()["errors"])) for answer in answers}) == 1
    )
    assert [event["type"] for event in await account.list_events()].count("signal.rejected") == 1
    assert len((await account.get("/api/v1/signals"))["items"]) == 1


async def test_webhook_id_of_a_refused_text_is_not_used_for_another(account: AccountClient, signed: SignedHook) -> None:
    await signed.send("no signal")
    for _ in range(2):
        response = await signed.send(signal_texts.BUY)
        assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")
        assert "msg_1" in response.json()["detail"]
        assert "msg_1" in response.json()["errors"][0]["hint"]
    assert (await account.get("/api/v1/orders"))["items"] == []


async def test_webhook_ids_belong_to_a_hook(account: AccountClient, signed: SignedHook) -> None:
    other = SignedHook(account.http, await account.post("/api/v1/hooks", {"is_signed": True}))
    responses = [await signed.send(), await other.send(signal_texts.SELL)]
    assert [(response.status_code, response.json()["duplicate"]) for response in responses] == [(202, False)] * 2
    assert not (await account.send_signal("BUY GBPUSD SL 1.2 TP 1.3", idempotency_key="msg_1"))["duplicate"]
    assert len((await account.get("/api/v1/orders"))["items"]) == 3


async def test_webhook_id_stored_by_an_earlier_version_counts(
    app: RunningApp, account: AccountClient, signed: SignedHook
) -> None:
    """Formerly ids were stored without their hook, and a sender may send one again for days."""
    first = (await signed.send()).json()
    await app.execute_sql(
        "UPDATE signals SET idempotency_key = 'msg_1' WHERE account_id = CAST(:id AS uuid)", id=account.id
    )
    assert (await signed.send()).json() == first | {"duplicate": True}
    other = SignedHook(account.http, await account.post("/api/v1/hooks", {"is_signed": True}))
    assert (await other.send(signal_texts.SELL)).json()["duplicate"] is False


@pytest.mark.parametrize("id_", ["x" * 256, "a\u0080b"])
async def test_webhook_id_is_limited(account: AccountClient, signed: SignedHook, id_: str) -> None:
    sent_at = str(int(time.time()))
    signature = webhook_signatures.sign(signed.secret, id_, sent_at, signal_texts.BUY.encode())
    headers = {"webhook-id": id_, "webhook-timestamp": sent_at, "webhook-signature": f"v1,{signature.decode()}"}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    response = await signed.http.post(signed.path, content=signal_texts.BUY, headers=encoded)
    assert (response.status_code, response.json()["code"]) == (401, "bad_signature")
    assert (await account.get("/api/v1/signals"))["items"] == []


async def rotate(account: AccountClient, hook_id: str, **body: object) -> dict[str, Any]:
    return dict(await account.post(f"/api/v1/hooks/{hook_id}/rotate", body))


async def wait_until_accepted(hook: SignedHook, id_: str) -> None:
    """Send until the web process knows of a rotation: it caches a hook for two seconds."""

    async def is_accepted() -> bool:
        headers = hook.headers(signal_texts.BUY, id_)
        return (await hook.http.post(hook.path, content=signal_texts.BUY, headers=headers)).status_code == 202

    await wait_until(is_accepted, interval_s=0.2)


async def test_token_and_secret_of_before_work_during_the_overlap(account: AccountClient) -> None:
    created = await account.post("/api/v1/hooks", {"is_signed": True, "label": "bot"})
    rotated = await rotate(account, created["id"], overlap_s=60)
    assert (rotated["id"], rotated["label"], rotated["is_signed"]) == (created["id"], "bot", True)
    assert rotated["token"] != created["token"]
    assert rotated["secret"] != created["secret"]
    overlap_s = (datetime.fromisoformat(rotated["overlap_ends_at"]) - datetime.now(UTC)).total_seconds()
    assert 30 < overlap_s < 90
    pairs = [(path, secret) for path in (created, rotated) for secret in (created, rotated)]
    for number, (path, secret) in enumerate(pairs):
        hook = SignedHook(account.http, {"path": path["path"], "secret": secret["secret"]})
        await wait_until_accepted(hook, f"msg_{number}")
    assert [event["type"] for event in await account.list_events()].count("hook.rotated") == 1


async def test_token_and_secret_of_before_end_with_the_overlap(account: AccountClient) -> None:
    created = await account.post("/api/v1/hooks", {"is_signed": True})
    rotated = await rotate(account, created["id"], overlap_s=0)
    old = SignedHook(account.http, created)
    mixed = SignedHook(account.http, {"path": rotated["path"], "secret": created["secret"]})
    new = SignedHook(account.http, rotated)
    await wait_until_accepted(new, "msg_new")
    assert (await old.send()).json()["code"] == "unknown_hook"
    assert (await mixed.send()).json()["code"] == "bad_signature"


@pytest.mark.parametrize("only", ["token", "secret"])
async def test_token_or_secret_is_rotated_alone(account: AccountClient, only: str) -> None:
    created = await account.post("/api/v1/hooks", {"is_signed": True})
    rotated = await rotate(account, created["id"], overlap_s=0, only=only)
    assert {name for name in ("token", "secret") if rotated[name]} == {only}
    new = SignedHook(account.http, created | {name: value for name, value in rotated.items() if value})
    await wait_until_accepted(new, "msg_new")


async def test_unsigned_hook_stays_unsigned_when_rotated(account: AccountClient) -> None:
    created = await account.post("/api/v1/hooks", {})
    response = await account.request("POST", f"/api/v1/hooks/{created['id']}/rotate", json={"only": "secret"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    rotated = await rotate(account, created["id"])
    assert (rotated["is_signed"], rotated["secret"]) == (False, None)
    for path in (created["path"], rotated["path"]):
        assert (await account.http.post(path, content=signal_texts.BUY)).status_code == 202


async def test_revoked_or_foreign_hook_is_not_rotated(account: AccountClient, other_account: AccountClient) -> None:
    created = await account.post("/api/v1/hooks", {})
    path = f"/api/v1/hooks/{created['id']}/rotate"
    assert (await other_account.request("POST", path)).status_code == 404
    await account.request("DELETE", f"/api/v1/hooks/{created['id']}")
    response = await account.request("POST", path)
    assert (response.status_code, response.json()["code"]) == (409, "inactive_credential")


async def test_revocation_ends_the_token_of_before_too(account: AccountClient) -> None:
    created = await account.post("/api/v1/hooks", {})
    await rotate(account, created["id"])
    await account.request("DELETE", f"/api/v1/hooks/{created['id']}")

    async def is_rejected() -> bool:
        return (await account.http.post(created["path"], content=signal_texts.BUY)).status_code == 401

    assert await wait_until(is_rejected, interval_s=0.2)


async def test_previous_secret_is_reencrypted_too(app: RunningApp, account: AccountClient) -> None:
    created = await account.post("/api/v1/hooks", {"is_signed": True})
    await rotate(account, created["id"])
    query = "SELECT previous_secret FROM hooks WHERE id = :id"
    before = await app.execute_sql(query, id=created["id"])
    await app.services.hooks.rotate_secrets()
    assert await app.execute_sql(query, id=created["id"]) != before
