"""A database that keeps its connections open and does not answer; and how long idle connections stay open."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import median

import pytest
from sqlalchemy import make_url

from signalhub.settings import WebSettings
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.processes import run_web
from tests.kit.running_app import open_client
from tests.kit.servers import Servers
from tests.kit.setting_changes import change_settings

PATHS = (
    "/api/v1/orders",
    "/orders/",
    "/api/v1/analytics",
    "/api/v1/events",
    "/api/v1/signals",
    "/api/v1/keys",
    "/health/",
)


class SilencedPostgres:
    """A TCP port that forwards to the server until `silence`; then it reads and answers nothing, and closes nothing."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def silence(self) -> None:
        self._is_open.clear()

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self._is_open.set()
            await asyncio.wait_for(asyncio.gather(*self._tasks, return_exceptions=True), 5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._tasks.add(task)
        await self._is_open.wait()
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket_path)
        await asyncio.gather(self._forward(reader, server_writer), self._forward(server_reader, writer))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._is_open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def _run_before_silence(
    servers: Servers, logs: Path, name: str
) -> AsyncIterator[tuple[SilencedPostgres, AccountClient]]:
    """Run an app with an account. Its pool is full of connections through the proxy, and its key is cached."""
    settings = await servers.create_settings()
    url = make_url(settings.database_url)
    proxy = SilencedPostgres(Path(str(url.query["host"])) / f".s.PGSQL.{url.query.get('port', 5432)}")
    async with proxy.listen() as port:
        proxy_url = url.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
        changed = change_settings(settings, database_url=proxy_url)
        async with run_web(changed, logs / f"{name}.log"), open_client(changed) as http:
            account = await AccountClient.register(http)
            await asyncio.gather(*(account.get("/api/v1/orders") for _ in range(20)))
            yield proxy, account


async def test_every_route_answers_within_two_seconds_without_database(servers: Servers, logs: Path) -> None:
    async with _run_before_silence(servers, logs, "silent-database") as (proxy, account):
        proxy.silence()

        async def measure(method: str, path: str) -> tuple[int, float]:
            began = time.monotonic()
            body = signal_texts.BUY if (method, path) == ("POST", "/api/v1/signals") else None
            response = await account.request(method, path, content=body)
            return response.status_code, time.monotonic() - began

        requests = [*(("GET", path) for path in PATHS * 3), ("POST", "/api/v1/signals"), ("POST", "/api/v1/tickets")]
        answers = await asyncio.gather(*(measure(*request) for request in requests))
        # Once more, with the connections that were opened since.
        answers.append(await measure("GET", "/api/v1/orders"))
    assert [status for status, _ in answers] == [503] * len(answers)
    # Half a second for a test machine that is busy with other tests.
    assert median(seconds for _, seconds in answers) < 2.5


@pytest.mark.parametrize("params", [{}, {"source": "first"}])
async def test_stream_is_refused_within_two_seconds_without_database(
    servers: Servers, logs: Path, params: dict[str, str]
) -> None:
    async with _run_before_silence(servers, logs, f"silent-database-stream-{len(params)}") as (proxy, account):
        proxy.silence()
        began = time.monotonic()
        assert (await account.request("GET", "/api/v1/stream", params=params)).status_code == 503
        assert time.monotonic() - began < 2.5


async def test_idle_connection_is_closed_after_keep_alive_time(servers: Servers, logs: Path) -> None:
    assert WebSettings().keep_alive_s > 60, "nginx and AWS load balancers keep theirs for 60 s"
    settings = await servers.create_settings(keep_alive_s=1.5)
    async with run_web(settings, logs / "keep-alive.log"):
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.web.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(8):
            await reader.readuntil(b'"ok"}')
            began = time.monotonic()
            assert await reader.read() == b""
            idle_s = time.monotonic() - began
        writer.close()
    assert 1.2 < idle_s < 3.5
