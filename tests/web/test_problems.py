"""Every error is a problem document, and no response and no log line contains a credential."""

import asyncio

import httpx
import pytest

from signalhub.domain.errors import ERRORS
from signalhub.web.problems import STATUSES
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp

FIELDS = ["type", "title", "status", "code", "detail", "error", "trace_id", "errors"]

JSON = {"Content-Type": "application/json"}
INVALID_REQUESTS = {
    "no such page": ("GET", "/nowhere", {}, 404, "not_found"),
    "no such order": ("GET", "/api/v1/orders/0195f2c8-0000-7000-8000-000000000000", {}, 404, "not_found"),
    "an impossible order id": ("GET", "/api/v1/orders/%27%3B--", {}, 404, "not_found"),
    "a NUL in the path": ("GET", "/api/v1/orders/%00", {}, 404, "not_found"),
    "another method": ("DELETE", "/api/v1/orders", {}, 405, "method_not_allowed"),
    "another method on a hook": ("GET", "/hooks/x", {}, 405, "method_not_allowed"),
    "malformed JSON": ("POST", "/api/v1/keys", {"content": "{", "headers": JSON}, 400, None),
    "JSON that is no object": ("POST", "/api/v1/keys", {"content": "5", "headers": JSON}, None, None),
    "JSON that is not UTF-8": ("POST", "/api/v1/keys", {"content": b'{"label": "\xff"}', "headers": JSON}, 400, None),
    "deeply nested JSON": ("POST", "/api/v1/keys", {"content": "[" * 100_000, "headers": JSON}, None, None),
    "no body": ("POST", "/api/v1/broker-accounts", {}, None, None),
    "limit 0": ("GET", "/api/v1/orders?limit=0", {}, 422, "invalid_request"),
    "limit above the maximum": ("GET", "/api/v1/orders?limit=501", {}, 422, "invalid_request"),
    "limit that is no number": ("GET", "/api/v1/orders?limit=many", {}, None, "invalid_request"),
    "limit beyond 64 bits": ("GET", "/api/v1/orders?limit=99999999999999999999", {}, None, "invalid_request"),
    "unknown order status": ("GET", "/api/v1/orders?status=lost", {}, None, "invalid_request"),
    "invalid time": ("GET", "/api/v1/orders?since=yesterday", {}, None, "invalid_request"),
    "time without a zone": ("GET", "/api/v1/orders?since=2026-01-01T00:00:00", {}, None, "invalid_request"),
    "invalid cursor": ("GET", "/api/v1/orders?cursor=5", {}, 400, "bad_cursor"),
    "a symbol with a NUL": ("GET", "/api/v1/orders?symbol=%00", {}, None, None),
    "negative after": ("GET", "/api/v1/events?after=-1", {}, 422, "invalid_request"),
    "after beyond 64 bits": ("GET", "/api/v1/events?after=99999999999999999999", {}, None, None),
    "a label with a NUL": ("POST", "/api/v1/keys", {"json": {"label": "a\0b"}}, 422, "invalid_request"),
    "a hook's label with a NUL": ("POST", "/api/v1/hooks", {"json": {"label": "a\0b"}}, 422, "invalid_request"),
    "unknown event type": ("GET", "/api/v1/events?types=nothing", {}, 400, "bad_request"),
    "unknown signal status": ("GET", "/api/v1/signals?status=lost", {}, None, "invalid_request"),
}


def test_every_error_code_has_one_status() -> None:
    assert list(STATUSES) == list(ERRORS)
    assert all(400 <= status <= 503 for status in STATUSES.values())


@pytest.mark.parametrize("case", INVALID_REQUESTS)
async def test_invalid_request_returns_problem_document(app: RunningApp, case: str) -> None:
    account = await app.create_account()
    method, path, options, status, code = INVALID_REQUESTS[case]
    response = await account.request(method, path, **options)  # type: ignore[arg-type]
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert list(problem) == FIELDS
    assert 400 <= response.status_code < 500, response.text
    assert response.status_code == problem["status"] == (status or response.status_code)
    assert problem["code"] == (code or problem["code"])
    assert problem["detail"] == problem["error"] != ""
    assert problem["type"] == f"{app.settings.web.base_url}/docs/errors#{problem['code']}"
    assert len(problem["trace_id"]) == 32


async def test_problem_uses_trace_id_of_sender(account: AccountClient) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    assert (await account.request("GET", "/nowhere", headers=headers)).json()["trace_id"] == trace_id
    for malformed in ("", "x", "00-zz-00-01", f"00-{'0' * 32}-00f067aa0ba902b7-01", "00-" + "g" * 32 + "-x-01"):
        assert (
            len((await account.request("GET", "/nowhere", headers={"traceparent": malformed})).json()["trace_id"]) == 32
        )


async def test_credentials_never_appear_in_responses_logs_or_events(app: RunningApp) -> None:
    """Send each kind of credential in each kind of invalid request, then search all responses, events and log lines."""
    account = await app.create_account()
    hook = await account.post("/api/v1/hooks", {"is_signed": True})
    ticket = (await account.post("/api/v1/tickets"))["ticket"]
    secrets = [account.api_key, account.api_key[:-1] + "~", hook["token"], hook["secret"], ticket]
    secrets += ["the-broker-secret", "wrong-registration-token"]
    outputs = []
    for secret in secrets:
        requests = [
            account.http.get("/api/v1/orders/x", headers={"X-API-Key": secret}),
            account.http.get("/nowhere", headers={"Authorization": f"Bearer {secret}"}),
            account.http.post(f"/hooks/{secret}", content=signal_texts.BUY),
            account.http.get(f"/hooks/{secret}"),
            account.http.get("/api/v1/stream", params={"ticket": secret, "types": "nonsense"}),
            account.http.get("/nowhere", params={"ticket": secret}),
            account.http.post("/accounts/", json={"username": "x", "api_key": secret, "broker_name": 5}),
            account.request("POST", "/api/v1/keys", content='{"label": "' + secret, headers=JSON),
        ]
        outputs += [response.text for response in await asyncio.gather(*requests)]
    outputs.append(str(await account.list_events()))
    outputs.append(app.web.log_text)
    for secret in secrets:
        secret_part = secret.rpartition("_")[2]
        assert not [text for text in outputs if secret_part in text]


async def test_method_not_allowed_lists_allowed_methods(http: httpx.AsyncClient) -> None:
    response = await http.delete("/api/v1/signals")
    assert response.status_code == 405
    assert {"GET", "POST"} <= {word.strip() for word in response.headers["Allow"].split(",")}


async def test_declared_oversized_body_is_rejected_at_once(account: AccountClient) -> None:
    url = account.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    lines = [
        "POST /api/v1/keys HTTP/1.1",
        "Host: localhost",
        f"X-API-Key: {account.api_key}",
        "Content-Length: 2000000",
    ]
    writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    async with asyncio.timeout(5):
        response = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert response.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in response
