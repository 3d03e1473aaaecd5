"""The servers compared by the fan-out benchmark: the service, the channels plugin, and Nchan where it is installed.

Each has a channel for each transport, so that subscribers receive only the events of their own measurement.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import msgspec
import psutil  # type: ignore[import-untyped]  # it ships none

from db import event_log
from db.engine import create_engine
from signalhub import redis_clients
from signalhub.domain.events import Event, Head, NewEvent, append_event
from signalhub.settings import Settings
from signalhub.streams import redis_stream
from signalhub.streams.redis_state import RedisKeyLoader
from tests.bench import channels_plugin_app
from tests.bench.fanout_subscribers import SENT_TIME_MARKER, UNKNOWN_SENT_NS
from tests.kit.processes import find_free_port

TRANSPORTS: Final = ("sse", "ws", "batch")
_EVENT_DATA: Final = {"symbol": "EURUSD", "sent_ns": UNKNOWN_SENT_NS, "note": "x" * 60}
_NCHAN_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_UNSENT_MARKER: Final = SENT_TIME_MARKER + str(UNKNOWN_SENT_NS).encode()

SendEvents = Callable[[str, int], Awaitable[None]]
"""Send a number of events to the subscribers of a transport."""


class FanoutServer(msgspec.Struct, frozen=True):
    """A server under measurement. The time of `processes` is counted.

    `requests_by_transport` open a stream. A subscriber is connected after `ready_marker`, by default the end
    of the response head.
    """

    name: str
    port: int
    requests_by_transport: dict[str, bytes]
    processes: list[psutil.Process]
    send_events: SendEvents
    ready_marker: bytes = b"\r\n\r\n"

    def measure_cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)

    def measure_rss_bytes(self) -> int:
        """Return the resident bytes of the serving process."""
        return int(self.processes[-1].memory_info().rss)


def stamp_sent_time(body: bytes) -> bytes:
    return body.replace(_UNSENT_MARKER, SENT_TIME_MARKER + str(time.time_ns()).encode())


def build_websocket_request(path: str) -> bytes:
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
    key = "Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA=="
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n{key}\r\n\r\n".encode()


def build_sse_request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()


@asynccontextmanager
async def run_signalhub(settings: Settings, pid: int) -> AsyncIterator[FanoutServer]:
    """Yield the service, with an account for each transport. Events are appended and published from here."""
    async with httpx.AsyncClient(base_url=settings.web.base_url) as http:
        accounts = {
            transport: (
                await http.post("/accounts/", json=_build_registration(f"{transport}-{os.urandom(4).hex()}"))
            ).json()
            for transport in TRANSPORTS
        }
    engine, redis = create_engine(settings.database_url), redis_clients.connect_async(settings.redis_url, timeout_s=1.0)
    keys = await RedisKeyLoader(engine).load()

    async def send(transport: str, count: int) -> None:
        account_id = accounts[transport]["user"]["id"]
        # Stamped before the commit, which is part of the latency: what is published later must be what is stored.
        new_event = _build_new_event(account_id, time.time_ns())
        async with engine.begin() as connection:
            heads = await event_log.lock_heads(connection, {account_id})
            events = await event_log.append_events(connection, heads, [new_event] * count)
        await redis_stream.publish(redis, keys.events, events)

    requests = {
        "sse": _add_api_key(build_sse_request("/api/v1/stream"), accounts["sse"]["api_key"]),
        "ws": _add_api_key(build_websocket_request("/ws/stream"), accounts["ws"]["api_key"]),
        "batch": _add_api_key(build_websocket_request("/ws/stream?batch=1"), accounts["batch"]["api_key"]),
    }
    yield FanoutServer(
        "signalhub", settings.web.port, requests, _list_process_tree(pid), send, ready_marker=b"stream.ready"
    )
    await redis.aclose()
    await engine.dispose()


@asynccontextmanager
async def run_channels_plugin(redis_url: str) -> AsyncIterator[FanoutServer]:
    """Yield the app with Litestar's channels plugin, served by granian with the options of the service."""
    port = find_free_port()
    os.environ["BENCH_REDIS_URL"] = redis_url
    command = [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--factory", "--no-log"),
        *("--port", str(port), "--backpressure", "20000", "--backlog", "4096", "tests.bench.channels_plugin_app:app"),
    ]
    backend = channels_plugin_app.create_backend()
    body = _build_event().body

    async def send(transport: str, count: int) -> None:
        for _ in range(count):
            await backend.publish(stamp_sent_time(body), [transport])

    requests = {"sse": build_sse_request("/sse/sse"), "ws": build_websocket_request("/ws/ws")}
    with _run_server(command, port) as pid:
        yield FanoutServer("channels plugin", port, requests, _list_process_tree(pid), send)


@asynccontextmanager
async def run_nchan(directory: Path) -> AsyncIterator[FanoutServer | None]:
    """Yield Nchan in Debian's nginx with one worker process; None where it is not installed."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or not _NCHAN_MODULE.exists():
        yield None
        return
    port, config = find_free_port(), directory / "nginx.conf"
    config.write_text(_NGINX_CONFIG.format(module=_NCHAN_MODULE, home=directory, port=port), encoding="utf-8")
    with _run_server([program, "-c", str(config), "-p", str(directory)], port) as pid:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = _build_event().body

        async def send(transport: str, count: int) -> None:
            for _ in range(count):
                head = f"POST /pub?id={transport} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + stamp_sent_time(body))
            for _ in range(count):
                response = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(response.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))

        requests = {"sse": build_sse_request("/sse?id=sse"), "ws": build_websocket_request("/ws?id=ws")}
        yield FanoutServer("Nchan", port, requests, _list_process_tree(pid), send)
        writer.close()


_NGINX_CONFIG: Final = """
load_module {module};
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {home}/nginx.pid;
error_log {home}/nginx.log crit;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  client_body_temp_path {home}/body;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /pub {{ nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 100; }}
    location = /sse {{ nchan_subscriber eventsource; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }}
    location = /ws {{ nchan_subscriber websocket; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }}
  }}
}}
"""


@contextmanager
def _run_server(command: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - our own, or Debian's
    try:
        _wait_for_port(port)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:  # granian waits for open streams
            process.kill()
            process.wait()


def _wait_for_port(port: int, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"no answer on port {port}")


def _list_process_tree(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _add_api_key(request: bytes, api_key: str) -> bytes:
    return request.removesuffix(b"\r\n") + f"X-API-Key: {api_key}\r\n\r\n".encode()


def _build_registration(name: str) -> dict[str, str]:
    return {"username": name, "broker_name": "mock", "account_id": "1", "api_key": "none"}


def _build_new_event(account_id: str, sent_ns: int = UNKNOWN_SENT_NS) -> NewEvent:
    data = _EVENT_DATA | {"sent_ns": sent_ns}
    return NewEvent(type="order.executed", account_id=account_id, data=data, trace_id="0" * 32)


def _build_event() -> Event:
    """Build an event like the service's, for the other servers."""
    return append_event(Head(), _build_new_event("0" * 36), datetime.now(UTC))[1]
