"""What a client without a credential can send: none of it holds the event loop, memory or connections for long."""

import ast
import asyncio
import time
from pathlib import Path

import httpx
import pytest

import signalhub
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp

MAX_HEAD_BYTES = 16 * 1024
QUADRATIC_COOKIE = '="' + "\\" * (MAX_HEAD_BYTES - 1000) + '"'
"""Takes `http.cookies` of Python 3.11.7 and 3.12.1 five seconds."""

FRAMEWORK_PARSERS = [(name, part) for name in ("connection", "request", "socket") for part in ("cookies", "form")]


async def send_raw(app: RunningApp, request: bytes, timeout_s: float = 5.0) -> bytes:
    """Send bytes; return the response up to the end of its head, empty where the connection was closed without one."""
    url = app.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(request)
        async with asyncio.timeout(timeout_s):
            return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("name", ["signalhub_session", "signalhub_stream", "other"])
@pytest.mark.parametrize("path", ["/", "/api/v1/orders", "/api/v1/stream", "/api/v1/signals"])
async def test_hostile_cookie_takes_no_time(app: RunningApp, name: str, path: str) -> None:
    method = "POST" if path.endswith("signals") else "GET"
    began = time.perf_counter()
    await app.http.request(method, path, headers={"Cookie": name + QUADRATIC_COOKIE})
    assert time.perf_counter() - began < 0.2


async def test_request_head_is_limited(app: RunningApp) -> None:
    for padding, status in ((MAX_HEAD_BYTES - 200, b"200"), (MAX_HEAD_BYTES + 1, b"431")):
        response = await send_raw(app, b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * padding + b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 " + status)


def test_parsers_of_the_framework_that_keep_their_input_are_not_used() -> None:
    """Litestar keeps 1,024 cookie headers and forms, and reads cookies with `http.cookies`."""
    for path in Path(signalhub.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in FRAMEWORK_PARSERS, path


async def test_form_is_limited_in_size_and_fields(http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, status in (("key=x", 401), ("key=" + "x" * 4100, 413), ("a=&" * 1000, 422), ("&" * 4000, 422)):
        response = await http.post("/login", content=body, headers=headers)
        assert response.status_code == status, body[:20]


async def test_json_body_is_limited(account: AccountClient) -> None:
    for path in ("/accounts", "/api/v1/keys"):
        response = await account.request("POST", path, json={"label": "x" * 20_000})
        assert (response.status_code, response.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("query", ["a&" * 100, "a" * 5000])
async def test_query_is_limited_after_authentication(account: AccountClient, query: str) -> None:
    for path in ("/api/v1/orders", "/api/v1/stream", "/schema", "/login"):
        response = await account.request("GET", f"{path}?{query}")
        assert response.status_code == 422, path
    for path in ("/api/v1/orders", "/api/v1/stream"):
        assert (await account.http.get(f"{path}?ticket=x&{query}")).status_code == 401
