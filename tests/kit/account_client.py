"""Client of one account, over HTTP, SSE and WebSocket."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from tests.kit import signal_texts
from tests.kit.polling import WAIT_LIMIT_S
from tests.kit.sse_stream import SseStream, open_sse

_account_numbers = itertools.count(1)


class AccountClient:
    """One account of a running service and one of its keys. `http` carries no credential of its own."""

    def __init__(self, http: httpx.AsyncClient, account_id: str, api_key: str) -> None:
        self.http, self.id, self.api_key = http, account_id, api_key

    @classmethod
    async def register(cls, http: httpx.AsyncClient) -> "AccountClient":
        body = {
            "username": f"account{next(_account_numbers)}",
            "broker_name": "mock",
            "account_id": "7",
            "api_key": "s3cret",
        }
        created = (await http.post("/accounts/", json=body)).raise_for_status().json()
        return cls(http, created["user"]["id"], created["api_key"])

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.api_key}

    def with_key(self, api_key: str) -> "AccountClient":
        """Return a client of the same account with another key."""
        return AccountClient(self.http, self.id, api_key)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        """Send a request with the key and return any response, also an error."""
        headers = self.headers | dict(options.pop("headers", None) or {})
        return await self.http.request(method, path, headers=headers, **options)

    async def get(self, path: str, **params: Any) -> Any:  # noqa: ANN401 - query values, JSON
        return (await self.request("GET", path, params=params)).raise_for_status().json()

    async def post(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        response = await self.request("POST", path, json=body) if body is not None else await self.request("POST", path)
        return response.raise_for_status().json() if response.content else None

    async def send_signal(
        self, text: str | bytes = signal_texts.BUY, *, path: str = "/api/v1/signals", **headers: str
    ) -> Any:  # noqa: ANN401 - JSON
        """Send a signal that must be accepted; return the body. `idempotency_key="a"` becomes `Idempotency-Key: a`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.request("POST", path, content=text, headers=named)
        assert response.is_success, response.text
        return response.json()

    async def get_order(self, order_id: str) -> Any:  # noqa: ANN401 - JSON
        return await self.get(f"/api/v1/orders/{order_id}")

    async def list_events(self, after: int = 0, **params: str) -> list[Any]:
        """Return all events of the log after `after`, read page by page."""
        events: list[Any] = []
        while items := (await self.get("/api/v1/events", after=after, limit=500, **params))["items"]:
            events += items
            after = items[-1]["seq"]
        return events

    @asynccontextmanager
    async def open_sse(self, *, last_event_id: str | None = None, **params: str | int) -> AsyncIterator[SseStream]:
        headers = self.headers if last_event_id is None else self.headers | {"Last-Event-ID": last_event_id}
        async with open_sse(self.http, headers=headers, **params) as stream:
            yield stream

    @asynccontextmanager
    async def open_websocket(self, path: str = "/ws/stream", **params: str | int) -> AsyncIterator[ClientConnection]:
        async with connect_websocket(self.http, path, headers=self.headers, **params) as socket:
            yield socket


@asynccontextmanager
async def connect_websocket(
    http: httpx.AsyncClient, path: str, *, headers: dict[str, str] | None = None, **params: str | int
) -> AsyncIterator[ClientConnection]:
    url = http.base_url.copy_merge_params(params).copy_with(scheme="ws", path=path)
    async with connect(str(url), additional_headers=headers, proxy=None, open_timeout=WAIT_LIMIT_S) as socket:
        yield socket


async def receive_json(socket: ClientConnection, timeout_s: float = WAIT_LIMIT_S) -> Any:  # noqa: ANN401 - JSON
    """Return the next text frame that is no heartbeat, decoded."""
    return msgspec.json.decode(await receive_bytes(socket, timeout_s))


async def receive_bytes(socket: ClientConnection, timeout_s: float = WAIT_LIMIT_S) -> bytes:
    """Return the bytes of the next text frame that is no heartbeat."""
    async with asyncio.timeout(timeout_s):
        while (frame := await socket.recv(decode=False)).startswith(b'{"type":"stream.heartbeat"'):
            pass
        return frame


async def wait_for_close(socket: ClientConnection, timeout_s: float = WAIT_LIMIT_S) -> Close | None:
    """Read until the server closes; return its close frame."""
    try:
        while True:
            await receive_bytes(socket, timeout_s)
    except ConnectionClosed as ending:
        return ending.rcvd


async def wait_for_close_code(socket: ClientConnection, timeout_s: float = WAIT_LIMIT_S) -> int | None:
    """Read until the server closes; return its close code."""
    close = await wait_for_close(socket, timeout_s)
    return close.code if close else None
