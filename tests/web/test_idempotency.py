"""A signal that is sent again, also concurrently, creates one order."""

import asyncio
from typing import Any

import pytest

from tests.kit import signal_texts
from tests.kit.account_client import AccountClient


async def _count_orders(account: AccountClient) -> int:
    return len((await account.get("/api/v1/orders", limit=500))["items"])


async def test_resend_returns_first_answer_without_second_order(account: AccountClient) -> None:
    first = await account.send_signal(idempotency_key="k1")
    again = await account.send_signal(idempotency_key="k1")
    assert again == first | {"duplicate": True}
    assert await _count_orders(account) == 1
    assert [event["seq"] for event in await account.list_events()] == [1, 2, 3]


@pytest.mark.parametrize("name", ["Idempotency-Key", "webhook-id"])
async def test_both_idempotency_headers_are_accepted(account: AccountClient, name: str) -> None:
    sent = [
        await account.request("POST", "/api/v1/signals", content=signal_texts.BUY, headers={name: "k"})
        for _ in range(2)
    ]
    assert [response.json()["duplicate"] for response in sent] == [False, True]


WITH_ID = (
    signal_texts.BUY + "\n#id abc123",
    '{"signal": "BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890", "id": "abc123"}',
    '{"action": "buy", "symbol": "EURUSD", "price": "1.0860", "sl": "1.0850", "tp": "1.0890", "id": "abc123"}',
)


@pytest.mark.parametrize("text", WITH_ID)
async def test_client_id_in_text_is_idempotency_key(account: AccountClient, text: str) -> None:
    hook = await account.post("/api/v1/hooks", {})
    responses = [(await account.http.post(hook["path"], content=text)).json() for _ in range(2)]
    assert responses[1] == responses[0] | {"duplicate": True}
    assert await _count_orders(account) == 1


async def test_idempotency_header_overrides_id_in_text(account: AccountClient) -> None:
    first = await account.send_signal(WITH_ID[0], idempotency_key="one")
    second = await account.send_signal(WITH_ID[0], idempotency_key="two")
    assert first["order_id"] != second["order_id"]


async def test_reused_key_with_another_body_is_rejected_and_stored(account: AccountClient) -> None:
    first = await account.send_signal(idempotency_key="k")
    response = await account.request(
        "POST", "/api/v1/signals", content=signal_texts.SELL, headers={"Idempotency-Key": "k"}
    )
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")
    assert (await account.list_events())[-1]["type"] == "signal.rejected"
    assert (await account.send_signal(idempotency_key="k"))["order_id"] == first["order_id"]


async def test_rejected_text_does_not_use_up_idempotency_key(account: AccountClient) -> None:
    response = await account.request(
        "POST", "/api/v1/signals", content=signal_texts.MISSING_STOP, headers={"Idempotency-Key": "k"}
    )
    assert response.status_code == 422
    assert (await account.send_signal(idempotency_key="k"))["duplicate"] is False


async def test_idempotency_keys_are_per_account(account: AccountClient, other_account: AccountClient) -> None:
    assert (await account.send_signal(idempotency_key="k"))["duplicate"] is False
    assert (await other_account.send_signal(idempotency_key="k"))["duplicate"] is False


@pytest.mark.parametrize("key", ["x" * 256, "tab\there"])
async def test_invalid_idempotency_key_is_bad_request(account: AccountClient, key: str) -> None:
    response = await account.request(
        "POST", "/api/v1/signals", content=signal_texts.BUY, headers={"Idempotency-Key": key}
    )
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


async def test_concurrent_resends_create_one_order(account: AccountClient) -> None:
    async def send() -> Any:  # noqa: ANN401 - httpx's response
        return await account.request(
            "POST", "/api/v1/signals", content=signal_texts.BUY, headers={"Idempotency-Key": "k"}
        )

    responses = await asyncio.gather(*(send() for _ in range(64)))
    accepted = [response.json() for response in responses if response.status_code == 202]
    in_flight = [response for response in responses if response.status_code == 409]
    assert len(accepted) + len(in_flight) == 64
    assert [body["duplicate"] for body in accepted].count(False) == 1
    assert len({body["order_id"] for body in accepted}) == 1
    assert {response.json()["code"] for response in in_flight} <= {"idempotency_in_flight"}
    assert all(response.headers["Retry-After"] for response in in_flight)
    assert await _count_orders(account) == 1


async def test_duplicate_window_accepts_text_once(account: AccountClient) -> None:
    hook = await account.post("/api/v1/hooks", {"duplicate_window_s": 20})
    first, again, other = [
        (await account.http.post(hook["path"], content=text)).json()
        for text in (signal_texts.BUY, signal_texts.BUY, signal_texts.SELL)
    ]
    assert again == first | {"duplicate": True}
    assert other["duplicate"] is False
    assert (await account.send_signal())["duplicate"] is False


async def test_concurrent_sends_in_duplicate_window_create_one_order(account: AccountClient) -> None:
    hook = await account.post("/api/v1/hooks", {"duplicate_window_s": 20})
    responses = await asyncio.gather(*(account.http.post(hook["path"], content=signal_texts.BUY) for _ in range(16)))
    assert {response.status_code for response in responses} <= {202, 409}
    assert await _count_orders(account) == 1


async def test_same_text_without_duplicate_window_creates_two_orders(account: AccountClient) -> None:
    hook = await account.post("/api/v1/hooks", {})
    for _ in range(2):
        assert (await account.http.post(hook["path"], content=signal_texts.BUY)).json()["duplicate"] is False
    assert await _count_orders(account) == 2
