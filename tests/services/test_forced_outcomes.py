"""One order's outcome, forced by header or by a `#sim` line, observed over the API to its end."""

from typing import Any

import pytest

from signalhub.brokers.mock.broker import MockBroker
from signalhub.domain.retry import RetryPolicy
from signalhub.services.lifecycle import Lifecycle
from tests.kit.account_client import AccountClient
from tests.kit.in_process_client import open_in_process_client
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp
from tests.kit.servers import Servers

TEXT = "BUY EURUSD @ 1.0860\nSL 1.0850\nTP 1.0890"


async def _end(app: RunningApp, account: AccountClient, order_id: str) -> Any:  # noqa: ANN401 - JSON
    """Advance the order to its end."""
    broker = MockBroker({"demo_fill_s": "0", "demo_close_s": "0"})
    lifecycle = Lifecycle(app.services.engine, broker, RetryPolicy(5, 0.01, 0.02), lease_s=0.5)

    async def ended() -> Any:  # noqa: ANN401 - JSON
        await lifecycle.advance([order_id])
        order = await account.get_order(order_id)
        return order if order["status"] not in {"pending", "executed"} else None

    return await wait_until(ended)


async def _types(account: AccountClient, order_id: str) -> list[str]:
    return [event["type"] for event in (await account.get(f"/api/v1/orders/{order_id}/events"))["items"]]


@pytest.mark.parametrize(
    ("directive", "status", "seen"),
    [
        ("outcome=take_profit", "closed", ("close_price", "1.0890")),
        ("outcome=stop_loss", "closed", ("close_reason", "stop_loss")),
        ("reject=insufficient_margin", "rejected", ("reason", "insufficient_margin")),
        ("fail=99", "rejected", ("reason", "simulated_failure")),
    ],
)
async def test_forced_outcome_happens(
    app: RunningApp, account: AccountClient, directive: str, status: str, seen: tuple[str, str]
) -> None:
    sent = await account.send_signal(f"{TEXT}\n#sim {directive} fill_after=0s close_after=0s")
    order = await _end(app, account, sent["order_id"])
    field, value = seen
    assert (order["status"], order[field]) == (status, value)


async def test_order_that_fails_three_times_is_retried_on_schedule(app: RunningApp, account: AccountClient) -> None:
    sent = await account.send_signal(TEXT, x_signalhub_simulate="fail=3 fill_after=0s close_after=0s")
    order = await _end(app, account, sent["order_id"])
    assert (order["status"], order["attempts"]) == ("closed", 4)
    retries = ["order.retrying"] * 3
    assert await _types(account, sent["order_id"]) == ["order.pending", *retries, "order.executed", "order.closed"]


async def test_unknown_directive_refuses_the_signal_with_a_hint(account: AccountClient) -> None:
    response = await account.request(
        "POST", "/api/v1/signals", content=TEXT, headers={"X-SignalHub-Simulate": "outcome=riches"}
    )
    assert response.status_code == 422
    (problem,) = response.json()["errors"]
    assert (problem["code"], problem["text"]) == ("bad_simulation", "outcome=riches")
    assert "outcome=take_profit" in problem["hint"]


async def test_refused_option_is_shown_at_its_header(account: AccountClient) -> None:
    await account.send_signal(idempotency_key="used")
    for name, value, code in (
        ("X-SignalHub-Simulate", "fail=1 outcome=riches", "bad_simulation"),
        ("X-SignalHub-Simulate", "x" * 256, "bad_request"),
        ("Idempotency-Key", "x" * 256, "bad_request"),
        ("webhook-id", "tab\there", "bad_request"),
        ("Idempotency-Key", "used", "idempotency_mismatch"),
    ):
        response = await account.request("POST", "/api/v1/signals", content=TEXT + "\n", headers={name: value})
        (problem,) = response.json()["errors"]
        assert (problem["code"], problem["header"]) == (code, name)
        assert not {"line", "column", "length"} & problem.keys()


async def test_refused_option_of_the_text_is_shown_at_its_place(account: AccountClient) -> None:
    response = await account.request("POST", "/api/v1/signals", content=f"{TEXT}\n#sim fail=1 outcome=riches")
    (problem,) = response.json()["errors"]
    assert (problem["line"], problem["column"], problem["length"]) == (4, 13, 14)
    assert (problem["text"], "header" in problem) == ("outcome=riches", False)


async def test_simulation_is_refused_if_it_is_disabled(servers: Servers) -> None:
    async with open_in_process_client(await servers.create_settings(simulate="off")) as http:
        account = await AccountClient.register(http)
        for text, headers in ((f"{TEXT}\n#sim fail=1", {}), (TEXT, {"X-SignalHub-Simulate": "fail=1"})):
            response = await account.request("POST", "/api/v1/signals", content=text, headers=headers)
            assert (response.status_code, response.json()["code"]) == (422, "bad_simulation")
            assert "cannot be forced" in response.json()["errors"][0]["hint"]
        assert (await account.send_signal(TEXT))["status"] == "pending"
