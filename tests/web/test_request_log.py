"""One log line for each request, and the counters at `/metrics`."""

import os
import re
from typing import Any

import msgspec
import pytest

from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp

FIELDS = {"method", "path", "status", "code", "duration_ms", "trace_id", "account_id"}


def _find_log_lines(app: RunningApp, trace_id: str) -> list[Any]:
    lines = [msgspec.json.decode(line) for line in app.web.log_text.splitlines() if trace_id in line]
    return [line for line in lines if line["event"] == "request.finished"]


async def _request(
    app: RunningApp,
    account: AccountClient,
    method: str,
    path: str,
    **options: Any,  # noqa: ANN401 - httpx's own
) -> tuple[str, list[Any]]:
    """Send a request, then another one; return the trace id of the first and its log lines once the second has one."""
    trace_ids = [os.urandom(16).hex() for _ in range(2)]
    headers = {"traceparent": f"00-{trace_ids[0]}-00f067aa0ba902b7-01"} | options.pop("headers", {})
    await account.request(method, path, headers=headers, **options)
    await account.http.get("/nowhere", headers={"traceparent": f"00-{trace_ids[1]}-00f067aa0ba902b7-01"})

    async def has_second_line() -> bool:
        return bool(_find_log_lines(app, trace_ids[1]))

    await wait_until(has_second_line)
    return trace_ids[0], _find_log_lines(app, trace_ids[0])


async def _read_counter(app: RunningApp, name: str, **labels: str) -> float:
    text = (await app.http.get("/metrics")).text
    label_text = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return sum(map(float, re.findall(rf"^{name}{{{re.escape(label_text)}}} (\S+)$", text, re.MULTILINE)))


async def test_request_leaves_one_log_line_with_its_fields(app: RunningApp, account: AccountClient) -> None:
    trace_id, (line,) = await _request(app, account, "GET", "/api/v1/orders/x")
    assert line.keys() >= FIELDS
    assert {name: line[name] for name in FIELDS - {"duration_ms"}} == {
        "method": "GET", "path": "/api/v1/orders/{order_id}", "status": 404, "code": "not_found",
        "trace_id": trace_id, "account_id": account.id,
    }  # fmt: skip
    assert line["duration_ms"] > 0


async def test_log_line_contains_no_query_body_or_header(app: RunningApp, account: AccountClient) -> None:
    _, lines = await _request(
        app,
        account,
        "POST",
        "/api/v1/keys?name=text-in-query",
        json={"label": "text-in-body"},
        headers={"X-Note": "text-in-header"},
    )
    assert [line["status"] for line in lines] == [422]
    assert "text-in-" not in app.web.log_text


async def test_unknown_path_is_logged_without_the_path(app: RunningApp, account: AccountClient) -> None:
    _, (line,) = await _request(app, account, "GET", "/text-in-unknown-path")
    assert (line["path"], line["status"], line["code"]) == (None, 404, "not_found")
    assert "text-in-unknown-path" not in app.web.log_text


@pytest.mark.parametrize(
    ("text", "levels"), [(signal_texts.BUY, []), (signal_texts.MISSING_STOP, ["info"])], ids=["accepted", "rejected"]
)
async def test_signal_is_logged_at_info_only_if_rejected(
    app: RunningApp, account: AccountClient, text: str, levels: list[str]
) -> None:
    _, lines = await _request(app, account, "POST", "/api/v1/signals", content=text)
    assert [line["level"] for line in lines] == levels


@pytest.mark.parametrize(("text", "status"), [(signal_texts.BUY, "202"), (signal_texts.MISSING_STOP, "422")])
async def test_signal_requests_are_counted_by_path_and_status(
    app: RunningApp, account: AccountClient, text: str, status: str
) -> None:
    labels = {"path": "/api/v1/signals", "status": status}
    before = await _read_counter(app, "signalhub_signal_requests_total", **labels)
    for _ in range(3):
        await account.request("POST", "/api/v1/signals", content=text)
    assert await _read_counter(app, "signalhub_signal_requests_total", **labels) == before + 3


async def test_error_responses_are_counted_by_code(app: RunningApp, account: AccountClient) -> None:
    before = await _read_counter(app, "signalhub_error_responses_total", code="missing_sl")
    await account.request("POST", "/api/v1/signals", content=signal_texts.MISSING_STOP)
    assert await _read_counter(app, "signalhub_error_responses_total", code="missing_sl") == before + 1
