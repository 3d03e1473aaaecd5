"""Ingest over HTTP: every path, every kind of body, and what is committed before a 2xx."""

import asyncio

import pytest

from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp

SIGNAL_PATHS = {
    "/api/v1/signals": 202,
    "/api/v1/broker/webhook/receive-signal": 200,
    "/webhook/receive-signal": 200,
}
RESPONSE_FIELDS = {"message", "info", "signal_id", "order_id", "status", "duplicate", "seq", "trace_id", "signal"}


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", SIGNAL_PATHS)
async def test_every_signal_path_accepts_optional_trailing_slash(account: AccountClient, path: str, slash: str) -> None:
    response = await account.request("POST", path + slash, content=signal_texts.BUY)
    body = response.json()
    assert response.status_code == SIGNAL_PATHS[path]
    assert list(body) == [
        "message", "info", "signal_id", "order_id", "status", "duplicate", "seq", "trace_id", "signal"
    ]  # fmt: skip
    assert body["message"] == "Signal received and processed successfully."
    assert body["info"] == "BUY EURUSD @ 1.0860, SL 1.0850, TP 1.0890"
    assert (body["status"], body["duplicate"], body["seq"]) == ("pending", False, 3)
    assert body["signal"] == {
        "side": "BUY",
        "symbol": "EURUSD",
        "order_type": "LIMIT",
        "entry": "1.0860",
        "entry_high": None,
        "stop_loss": "1.0850",
        "take_profits": ["1.0890"],
        "quantity": "1",
    }


@pytest.mark.parametrize("slash", ["", "/"])
async def test_hook_accepts_signal_without_headers(account: AccountClient, slash: str) -> None:
    hook = await account.post("/api/v1/hooks", {"label": "tv"})
    response = await account.http.post(hook["path"] + slash, content=signal_texts.BUY)
    assert response.status_code == 202
    assert set(response.json()) == RESPONSE_FIELDS
    assert await account.get_order(response.json()["order_id"])


async def test_signal_order_and_events_are_committed_before_answer(app: RunningApp, account: AccountClient) -> None:
    sent = await account.send_signal()
    counts = await app.execute_sql(
        "SELECT (SELECT count(*) FROM signals WHERE id = CAST(:signal AS uuid) AND is_accepted),"
        " (SELECT count(*) FROM orders WHERE id = CAST(:order AS uuid)),"
        " (SELECT array_agg(type ORDER BY seq) FROM events WHERE signal_id = CAST(:signal AS uuid)),"
        " (SELECT last_seq FROM accounts WHERE id = CAST(:account AS uuid))",
        signal=sent["signal_id"],
        order=sent["order_id"],
        account=account.id,
    )
    assert counts == [(1, 1, ["signal.accepted", "order.pending"], sent["seq"])]


async def test_answer_contains_seq_of_pending_event(account: AccountClient) -> None:
    sent = await account.send_signal()
    event = (await account.list_events(after=sent["seq"] - 1))[0]
    assert (event["type"], event["order_id"]) == ("order.pending", sent["order_id"])
    assert event["trace_id"] == sent["trace_id"]


BODIES = {
    "text": (signal_texts.BUY, None),
    "plain": (signal_texts.BUY, "text/plain; charset=utf-8"),
    "claims json": (signal_texts.BUY, "application/json"),
    "form": (signal_texts.BUY, "application/x-www-form-urlencoded"),
    "wrapped": ('{"signal": "BUY EURUSD @ 1.0860\\nSL 1.0850\\nTP 1.0890"}', "text/plain"),
    "fields": ('{"action":"buy","symbol":"EURUSD","price":1.0860,"sl":1.0850,"tp":1.0890}', "application/json"),
    "unknown type": (signal_texts.BUY, "image/png"),
}


@pytest.mark.parametrize("case", BODIES)
async def test_body_format_is_detected_from_content(account: AccountClient, case: str) -> None:
    text, media_type = BODIES[case]
    response = await account.request(
        "POST", "/api/v1/signals", content=text, headers={"Content-Type": media_type} if media_type else {}
    )
    assert response.status_code == 202, response.text
    assert response.json()["info"] == "BUY EURUSD @ 1.0860, SL 1.0850, TP 1.0890"


async def test_prices_keep_their_digits(app: RunningApp, account: AccountClient) -> None:
    sent = await account.send_signal("SELL EURUSD @ 1.10000\nSL 1.2000\nTP 1.050\nTP 1.0400000")
    stored = await account.get_order(sent["order_id"])
    assert (stored["entry"], stored["stop_loss"]) == ("1.10000", "1.2000")
    assert stored["take_profits"] == ["1.050", "1.0400000"] == sent["signal"]["take_profits"]
    await app.advance_order(sent["order_id"])
    assert (await account.get_order(sent["order_id"]))["entry"] == "1.10000"


async def test_trace_id_of_sender_is_stored_with_signal(account: AccountClient) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    sent = await account.send_signal(traceparent=f"00-{trace_id}-00f067aa0ba902b7-01")
    events = await account.list_events(after=1)
    assert {sent["trace_id"], *(event["trace_id"] for event in events)} == {trace_id}


INVALID_SIGNALS = {
    "stop on the wrong side": (signal_texts.STOP_ON_WRONG_SIDE.encode(), 422, "sl_wrong_side"),
    "no stop": (signal_texts.MISSING_STOP.encode(), 422, "missing_sl"),
    "chat": (b"good morning everybody", 422, None),
    "nothing": (b"", 422, "empty"),
    "malformed JSON": (b'{"signal": "BUY', 400, "malformed_json"),
    "not UTF-8": (b"BUY EURUSD \xff\xfe", 400, "not_utf8"),
    "too large": (b"x" * (16 * 1024 + 1), 413, "too_large"),
    "far too large": (b"x" * 1_500_000, 413, "too_large"),
}


@pytest.mark.parametrize("case", INVALID_SIGNALS)
@pytest.mark.parametrize("path", SIGNAL_PATHS)
async def test_invalid_signal_is_rejected_with_reason(account: AccountClient, path: str, case: str) -> None:
    raw, status, code = INVALID_SIGNALS[case]
    response = await account.request("POST", path, content=raw)
    is_broker_path = "broker" in path
    assert response.status_code == (400 if is_broker_path and status == 422 else status), response.text
    problem = response.json()
    assert problem["status"] == response.status_code
    assert code in {None, problem["code"]}
    assert (await account.get("/api/v1/orders"))["items"] == []


async def test_json_without_signal_is_bad_request(account: AccountClient) -> None:
    response = await account.request("POST", "/api/v1/signals", content='{"hello": "world"}')
    assert (response.status_code, response.json()["code"]) == (400, "missing_signal")


async def test_signal_of_16_kib_is_accepted(account: AccountClient) -> None:
    await account.send_signal(signal_texts.BUY + "\n" + " " * (16 * 1024 - len(signal_texts.BUY) - 1))


async def test_rejection_contains_problem_positions(account: AccountClient, app: RunningApp) -> None:
    response = await account.request("POST", "/api/v1/signals", content=signal_texts.STOP_ON_WRONG_SIDE)
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert list(problem) == ["type", "title", "status", "code", "detail", "error", "trace_id", "errors"]
    assert problem["type"] == f"{app.settings.web.base_url}/docs/errors#sl_wrong_side"
    assert problem["detail"] == problem["error"]
    error = problem["errors"][0]
    assert (error["code"], error["line"], error["column"], error["length"]) == ("sl_wrong_side", 2, 4, 6)
    assert error["text"] == "1.0890"
    assert error["hint"]


@pytest.mark.parametrize(
    "raw", [signal_texts.STOP_ON_WRONG_SIDE.encode(), b"BUY \xff\xfe", b"BUY\x00EURUSD", b'{"signal": "BUY']
)
async def test_rejected_signal_is_stored_unchanged_and_published(
    app: RunningApp, account: AccountClient, raw: bytes
) -> None:
    async with account.open_sse() as stream:
        await stream.expect_ready()
        problem = (await account.request("POST", "/api/v1/signals", content=raw)).json()
        event = (await stream.next_event()).json
    stored = await app.execute_sql(
        "SELECT raw, is_accepted FROM signals WHERE id = CAST(:id AS uuid)", id=event["signal_id"]
    )
    assert stored == [(raw, False)]
    assert event["type"] == "signal.rejected"
    assert event["data"]["reason"] == problem["code"]
    assert event["data"]["errors"] == problem["errors"]
    assert event["trace_id"] == problem["trace_id"]
    listed = (await account.get("/api/v1/signals"))["items"][0]
    assert (listed["id"], listed["accepted"], listed["answer"]) == (event["signal_id"], False, None)
    assert listed["errors"] == problem["errors"]


async def test_parse_endpoint_creates_no_order(account: AccountClient) -> None:
    response = await account.request("POST", "/api/v1/signals/parse", content=signal_texts.STOP_ON_WRONG_SIDE)
    explanation = response.json()
    assert response.status_code == 200
    assert explanation["ok"] is False
    assert explanation["problems"][0]["code"] == "sl_wrong_side"
    assert (await account.request("POST", "/api/v1/signals/parse/", content=signal_texts.BUY)).json()["ok"] is True
    assert await account.list_events(after=1) == []


async def test_truncated_body_is_rejected(account: AccountClient) -> None:
    """A connection that ends within the last price: `TP 1.09` of `TP 1.0990` would be another trade."""
    url, text = account.http.base_url, b"BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0990"
    for framing, body in (
        (f"Content-Length: {len(text)}", text[:-2]),
        ("Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(text) - 2, text[:-2])),
    ):
        _, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST /api/v1/signals HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {account.api_key}\r\n{framing}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
    await asyncio.sleep(0.2)
    assert await account.list_events(after=1) == []
