"""Query parameters and body fields that a route does not know are refused on every route, never ignored."""

import json
from typing import Any

import httpx
import pytest

from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp

PUBLIC_PATHS = {"/health", "/health/live", "/health/ready", "/metrics", "/accounts"}


async def _list_operations(http: httpx.AsyncClient) -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path and description of each operation, with `x` for what is in braces."""
    paths = (await http.get("/schema/openapi.json")).json()["paths"]
    return [
        (method.upper(), "/".join("x" if part.startswith("{") else part for part in path.split("/")), operation)
        for path, item in paths.items()
        for method, operation in item.items()
    ]


async def test_unknown_parameter_is_refused_on_every_route(account: AccountClient) -> None:
    hook = await account.post("/api/v1/hooks", {})
    operations = [(method, path) for method, path, _ in await _list_operations(account.http)]
    pages = [("GET", path) for path in ("/", "/login", "/docs/errors", "/schema", "/static/page.css")]
    for method, path in [*operations, *pages, ("POST", hook["path"])]:
        if path == "/hooks/x":
            continue  # the hook's own path stands for it
        response = await account.request(method, path, params={"surely_unknown": "1"})
        assert response.status_code == 422, (method, path, response.text)
        assert "surely_unknown" in response.text, (method, path)
        if method != "HEAD" and response.headers["content-type"] == "application/problem+json":
            assert response.json()["code"] == "unknown_parameter", (method, path)


async def test_missing_key_is_reported_before_unknown_input(http: httpx.AsyncClient) -> None:
    for method, path, _ in await _list_operations(http):
        if path not in PUBLIC_PATHS:
            response = await http.request(method, path, params={"surely_unknown": "1"}, content=b'{"unknown": 1}')
            assert response.status_code == 401, (method, path, response.text)


async def test_unknown_field_is_refused_on_every_route_with_a_body(account: AccountClient) -> None:
    for method, path, operation in await _list_operations(account.http):
        is_text = "text/plain" in operation.get("requestBody", {}).get("content", {})
        if method in {"POST", "PUT", "PATCH", "DELETE"} and not is_text:
            response = await account.request(method, path, json={"surely_unknown": 1})
            assert response.status_code == 422, (method, path, response.text)
            assert response.json()["code"] == "unknown_field", (method, path, response.text)


async def test_unknown_parameter_error_names_the_nearest_and_the_known(account: AccountClient) -> None:
    problem = (await account.request("GET", "/api/v1/orders?sybmol=EURUSD")).json()
    assert problem["detail"] == (
        "This path has no parameter 'sybmol'. Did you mean symbol? It takes status, symbol, since, limit, cursor."
    )
    assert (problem["errors"][0]["text"], problem["errors"][0]["code"]) == ("sybmol", "unknown_parameter")


async def test_unknown_field_error_names_the_nearest_and_the_known(account: AccountClient) -> None:
    problem = (await account.request("POST", "/api/v1/keys", json={"lable": "bot"})).json()
    assert problem["detail"] == (
        "This path has no field 'lable'. Did you mean label? It takes label, scopes, expires_at."
    )


@pytest.mark.parametrize(
    "query",
    ["limit=1&limit=2", "status=null", "since=null", "since=0.5", "limit=null", "order_id=x", "symbol=", "symbol=%00"],
)
async def test_ignored_parameter_is_refused(account: AccountClient, query: str) -> None:
    assert (await account.request("GET", f"/api/v1/orders?{query}")).status_code == 422


async def test_path_parameter_in_query_is_unknown(account: AccountClient) -> None:
    response = await account.request("GET", "/api/v1/orders/x?order_id=y")
    assert (response.status_code, response.json()["code"]) == (422, "unknown_parameter")


@pytest.mark.parametrize("body", ['{"overlap_s": "60"}', '{"overlap_s": -1}', "null", "[]", '"60"', "60"])
async def test_body_of_another_type_is_refused(account: AccountClient, body: str) -> None:
    """A number in quotation marks too, which the framework alone would convert."""
    response = await account.request(
        "POST", "/api/v1/keys/x/rotate", content=body, headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_partial_close_is_refused_and_closes_nothing(app: RunningApp, account: AccountClient) -> None:
    order_id = (await account.send_signal())["order_id"]
    await app.advance_order(order_id)
    for body in ({"quantity": "1"}, {"percent": 50}):
        response = await account.request("POST", f"/api/v1/orders/{order_id}/close", json=body)
        assert (response.status_code, response.json()["code"]) == (422, "unknown_field")
    assert (await account.get_order(order_id))["status"] == "executed"
    assert (await account.post(f"/api/v1/orders/{order_id}/close"))["status"] == "closed"


async def test_empty_object_is_no_body(account: AccountClient) -> None:
    order_id = (await account.send_signal())["order_id"]
    assert (await account.post(f"/api/v1/orders/{order_id}/cancel", {}))["status"] == "cancelled"


async def test_signal_keeps_fields_of_other_senders(account: AccountClient) -> None:
    body = {"signal": signal_texts.BUY, "bot_name": "x", "interval": 5}
    assert (await account.send_signal(json.dumps(body)))["status"] == "pending"
