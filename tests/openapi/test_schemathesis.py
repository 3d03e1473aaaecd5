"""The service answers as its OpenAPI document says. `just schemathesis` does the same at length."""

import asyncio

from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp
from tests.openapi.run import run_schemathesis


async def test_service_conforms_to_its_openapi_document(app: RunningApp, account: AccountClient) -> None:
    # A stream would not end in time.
    operations = "^(list|create|get|send|explain|check)"
    options = ("--phases", "fuzzing", "--max-examples", "1", "--include-operation-id-regex", operations)
    key = ("--header", f"X-API-Key: {account.api_key}")
    run = await asyncio.to_thread(run_schemathesis, app.settings.web.base_url, *options, *key)
    assert run.returncode == 0, run.stdout


async def test_every_operation_has_a_readable_name(account: AccountClient) -> None:
    paths = (await account.http.get("/schema/openapi.json")).json()["paths"]
    names = [operation["operationId"] for item in paths.values() for operation in item.values()]
    assert {"listOrders", "sendSignal", "followEvents"} <= set(names)
    assert all(name.isalpha() and name[0].islower() for name in names)
