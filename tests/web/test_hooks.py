"""Hook URLs, for senders that cannot set headers; and signed ones, for senders that can."""

import base64
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import standardwebhooks

from signalhub.web import signatures
from tests.kit import texts
from tests.kit.hub import RunningApp
from tests.kit.trader import AccountClient
from tests.kit.waiting import wait_until

# The test constants of the Standard Webhooks repository.
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


class SignedHook:
    """A sender that has the secret and the reference implementation."""

    def __init__(self, http: httpx.AsyncClient, made: dict[str, Any]) -> None:
        self.http, self.path = http, made["path"]
        self._oracle = standardwebhooks.Webhook(made["secret"])

    def headers(self, text: str, id_: str = "msg_1", at: datetime | None = None) -> dict[str, str]:
        at = at or datetime.now(UTC)
        signature = self._oracle.sign(id_, at, text)
        return {"webhook-id": id_, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}

    async def send(self, text: str = texts.BUY, **changes: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in changes.items()}
        return await self.http.post(self.path, content=text, headers=self.headers(text) | named)


@pytest.fixture
async def signed(trader: AccountClient) -> SignedHook:
    return SignedHook(trader.http, await trader.post("/api/v1/hooks", {"is_signed": True}))


async def test_a_hook_writes_signals_and_nothing_else(trader: AccountClient) -> None:
    hook = await trader.post("/api/v1/hooks", {"label": "tv"})
    for headers in ({"X-API-Key": hook["token"]}, {"Authorization": f"Bearer {hook['token']}"}):
        for path in ("/api/v1/orders", "/api/v1/events", "/api/v1/keys", "/api/v1/stream"):
            assert (await trader.http.get(path, headers=headers)).status_code == 401
    assert (await trader.http.get(hook["path"])).status_code == 405


async def test_a_hook_is_shown_once(trader: AccountClient) -> None:
    made = await trader.post("/api/v1/hooks", {"label": "tv", "is_signed": True})
    assert made["path"] == f"/hooks/{made['token']}"
    assert made["secret"].startswith("whsec_")
    (listed,) = (await trader.get("/api/v1/hooks"))["items"]
    assert (listed["id"], listed["label"], listed["is_signed"]) == (made["id"], "tv", True)
    assert {listed[name] for name in ("token", "path", "secret")} == {None}


@pytest.mark.parametrize("token", ["x", "shh_", "shh_aaaaaaaaaaaa_bbb", "%00", "é", "x" * 150, "x" * 300])
async def test_an_unknown_hook_is_told_so(http: httpx.AsyncClient, token: str) -> None:
    response = await http.post(f"/hooks/{token}", content=texts.BUY)
    assert response.status_code in {401, 404, 422}
    assert response.headers["content-type"] == "application/problem+json"
    assert token not in response.text or len(token) < 5


async def test_a_revoked_hook_stops_within_five_seconds(trader: AccountClient) -> None:
    hook = await trader.post("/api/v1/hooks", {})
    assert (await trader.http.post(hook["path"], content=texts.BUY)).status_code == 202
    await trader.request("DELETE", f"/api/v1/hooks/{hook['id']}")

    async def is_refused() -> bool:
        return (await trader.http.post(hook["path"], content=texts.BUY)).status_code == 401

    assert await wait_until(is_refused, timeout_s=5, interval_s=0.2)


async def test_another_account_s_hook_cannot_be_revoked(trader: AccountClient, stranger: AccountClient) -> None:
    hook = await trader.post("/api/v1/hooks", {})
    assert (await stranger.request("DELETE", f"/api/v1/hooks/{hook['id']}")).status_code == 404
    assert (await trader.http.post(hook["path"], content=texts.BUY)).status_code == 202


async def test_the_hook_s_secret_is_not_in_the_database_in_clear(hub: RunningApp, trader: AccountClient) -> None:
    made = await trader.post("/api/v1/hooks", {"is_signed": True})
    rows = await hub.execute_sql("SELECT hooks::text FROM hooks WHERE id = :id", id=made["id"])
    secret = made["secret"].removeprefix("whsec_")
    forms = {secret, secret.encode().hex(), base64.b64decode(secret).hex(), made["token"].split("_")[2]}
    assert not [form for form in forms if form in str(rows)]


def test_the_standard_s_own_test_vector_verifies() -> None:
    at = datetime.fromtimestamp(1_614_265_330, UTC)
    expected = standardwebhooks.Webhook(SECRET).sign(ID, at, BODY.decode())
    assert b"v1," + signatures.sign(SECRET, ID, "1614265330", BODY) == expected.encode()
    assert expected == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_signed_signal_is_taken(signed: SignedHook) -> None:
    response = await signed.send()
    assert response.status_code == 202, response.text


async def test_each_id_is_taken_once(trader: AccountClient, signed: SignedHook) -> None:
    first, again = [(await signed.send()).json() for _ in range(2)]
    assert again == first | {"duplicate": True}
    assert len((await trader.get("/api/v1/orders"))["items"]) == 1


async def test_a_captured_request_cannot_be_replayed_under_another_name(
    trader: AccountClient, signed: SignedHook
) -> None:
    """Idempotency-Key is not under the signature: whoever has one request could send it as often as he likes."""
    await signed.send()
    await signed.send(idempotency_key="a new one")
    assert len((await trader.get("/api/v1/orders"))["items"]) == 1


async def test_any_of_several_signatures_will_do(signed: SignedHook) -> None:
    good = signed.headers(texts.BUY)["webhook-signature"]
    response = await signed.send(webhook_signature=f"v1a,abc v1,AAAA {good} v2,zzz")
    assert response.status_code == 202


@pytest.mark.parametrize(("offset_s", "status"), [(-290, 202), (290, 202), (-310, 401), (310, 401), (-(10**6), 401)])
async def test_five_minutes_either_way_are_the_tolerance(signed: SignedHook, offset_s: int, status: int) -> None:
    headers = signed.headers(texts.BUY, at=datetime.now(UTC) + timedelta(seconds=offset_s))
    assert (await signed.http.post(signed.path, content=texts.BUY, headers=headers)).status_code == status


async def test_another_body_than_the_signed_one_is_refused(signed: SignedHook) -> None:
    response = await signed.http.post(signed.path, content=texts.SELL, headers=signed.headers(texts.BUY))
    assert (response.status_code, response.json()["code"]) == (401, "bad_signature")


MALFORMED = {
    "webhook-id": ["", "other", "x" * 5000],
    "webhook-timestamp": ["", "now", "-1", "1e9", "٣", "9" * 400, "1.5", "+5", "0x10"],
    "webhook-signature": ["", "v1", "v1,", ",", "v1,###", "v1,é", "v2,abc", "v1,AAAA,BBBB", "x" * 9000, "v1 ,x"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MALFORMED.items() for value in values])
async def test_malformed_headers_are_refused_and_never_break_anything(
    signed: SignedHook, name: str, value: str
) -> None:
    headers = signed.headers(texts.BUY) | {name: value}
    encoded = [(key.encode(), text.encode()) for key, text in headers.items()]
    response = await signed.http.post(signed.path, content=texts.BUY, headers=encoded)
    assert response.status_code == 401, response.text


@pytest.mark.parametrize("missing", MALFORMED)
async def test_a_signed_hook_takes_nothing_unsigned(signed: SignedHook, missing: str) -> None:
    headers = signed.headers(texts.BUY)
    del headers[missing]
    response = await signed.http.post(signed.path, content=texts.BUY, headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "bad_signature")
    assert (await signed.http.post(signed.path, content=texts.BUY)).status_code == 401


def test_the_signature_is_of_the_bytes_even_where_they_are_no_text() -> None:
    now = time.time()
    signature = signatures.sign(SECRET, ID, str(int(now)), b"\xff\xfe")
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": f"v1,{signature.decode()}",
    }
    signatures.verify(SECRET, headers, b"\xff\xfe", now)
