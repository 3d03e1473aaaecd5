"""One signal, one order: however often, at once, or by which of its names it is sent."""

import asyncio
from typing import Any

import pytest

from tests.kit import texts
from tests.kit.trader import AccountClient


async def _count(trader: AccountClient) -> int:
    return len((await trader.get("/api/v1/orders", limit=500))["items"])


async def test_a_resend_gets_the_first_answer_again_and_makes_no_second_order(trader: AccountClient) -> None:
    first = await trader.send_signal(idempotency_key="k1")
    again = await trader.send_signal(idempotency_key="k1")
    assert again == first | {"duplicate": True}
    assert await _count(trader) == 1
    assert [event["seq"] for event in await trader.list_events()] == [1, 2, 3]


@pytest.mark.parametrize("name", ["Idempotency-Key", "webhook-id"])
async def test_either_header_names_the_signal(trader: AccountClient, name: str) -> None:
    sent = [await trader.request("POST", "/api/v1/signals", content=texts.BUY, headers={name: "k"}) for _ in range(2)]
    assert [response.json()["duplicate"] for response in sent] == [False, True]


WITH_ID = (
    texts.BUY + "\n#id abc123",
    '{"signal": "BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890", "id": "abc123"}',
    '{"action": "buy", "symbol": "EURUSD", "price": "1.0860", "sl": "1.0850", "tp": "1.0890", "id": "abc123"}',
)


@pytest.mark.parametrize("text", WITH_ID)
async def test_a_sender_without_headers_names_its_signal_in_the_text(trader: AccountClient, text: str) -> None:
    hook = await trader.post("/api/v1/hooks", {})
    answers = [(await trader.http.post(hook["path"], content=text)).json() for _ in range(2)]
    assert answers[1] == answers[0] | {"duplicate": True}
    assert await _count(trader) == 1


async def test_the_header_counts_for_more_than_the_text(trader: AccountClient) -> None:
    first = await trader.send_signal(WITH_ID[0], idempotency_key="one")
    second = await trader.send_signal(WITH_ID[0], idempotency_key="two")
    assert first["order_id"] != second["order_id"]


async def test_another_body_under_the_same_key_is_refused_and_kept(trader: AccountClient) -> None:
    first = await trader.send_signal(idempotency_key="k")
    response = await trader.request("POST", "/api/v1/signals", content=texts.SELL, headers={"Idempotency-Key": "k"})
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")
    assert (await trader.list_events())[-1]["type"] == "signal.rejected"
    assert (await trader.send_signal(idempotency_key="k"))["order_id"] == first["order_id"]


async def test_a_refused_text_leaves_its_key_free_for_the_mended_one(trader: AccountClient) -> None:
    response = await trader.request(
        "POST", "/api/v1/signals", content=texts.MISSING_STOP, headers={"Idempotency-Key": "k"}
    )
    assert response.status_code == 422
    assert (await trader.send_signal(idempotency_key="k"))["duplicate"] is False


async def test_keys_of_two_accounts_do_not_meet(trader: AccountClient, stranger: AccountClient) -> None:
    assert (await trader.send_signal(idempotency_key="k"))["duplicate"] is False
    assert (await stranger.send_signal(idempotency_key="k"))["duplicate"] is False


@pytest.mark.parametrize("key", ["x" * 256, "tab\there"])
async def test_a_key_that_cannot_be_one_is_a_bad_request(trader: AccountClient, key: str) -> None:
    response = await trader.request("POST", "/api/v1/signals", content=texts.BUY, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


async def test_of_sixty_four_at_once_one_makes_the_order(trader: AccountClient) -> None:
    async def send() -> Any:  # noqa: ANN401 - httpx's response
        return await trader.request("POST", "/api/v1/signals", content=texts.BUY, headers={"Idempotency-Key": "storm"})

    answers = await asyncio.gather(*(send() for _ in range(64)))
    taken = [answer.json() for answer in answers if answer.status_code == 202]
    late = [answer for answer in answers if answer.status_code == 409]
    assert len(taken) + len(late) == 64
    assert [one["duplicate"] for one in taken].count(False) == 1
    assert len({one["order_id"] for one in taken}) == 1
    assert all(one.json()["code"] == "idempotency_in_flight" and one.headers["Retry-After"] for one in late)
    assert await _count(trader) == 1


async def test_a_hook_s_duplicate_window_takes_the_same_text_once(trader: AccountClient) -> None:
    hook = await trader.post("/api/v1/hooks", {"duplicate_window_s": 20})
    first, again, other = [
        (await trader.http.post(hook["path"], content=text)).json() for text in (texts.BUY, texts.BUY, texts.SELL)
    ]
    assert again == first | {"duplicate": True}
    assert other["duplicate"] is False
    assert (await trader.send_signal())["duplicate"] is False


async def test_of_sixteen_at_once_in_the_window_one_makes_the_order(trader: AccountClient) -> None:
    hook = await trader.post("/api/v1/hooks", {"duplicate_window_s": 20})
    answers = await asyncio.gather(*(trader.http.post(hook["path"], content=texts.BUY) for _ in range(16)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert await _count(trader) == 1


async def test_without_a_window_the_same_text_twice_is_two_orders(trader: AccountClient) -> None:
    hook = await trader.post("/api/v1/hooks", {})
    for _ in range(2):
        assert (await trader.http.post(hook["path"], content=texts.BUY)).json()["duplicate"] is False
    assert await _count(trader) == 2
