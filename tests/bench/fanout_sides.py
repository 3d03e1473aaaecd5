"""The three that are measured beside each other: the service, the channels plugin, and Nchan where it is installed.

Each has a room per audience, so that what is sent to one is not heard by another.
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

from db import journal
from db.engine import create_engine
from signalhub.domain.events import Event, Fact, Head, append
from signalhub.settings import Settings
from signalhub.streams import wire
from tests.bench import fanout_stock
from tests.bench.fanout_audience import MARK, UNSENT
from tests.kit.processes import free_port

ROOMS: Final = ("sse", "ws", "batch")
_BODY: Final = {"symbol": "EURUSD", "sent_ns": UNSENT, "note": "x" * 60}
_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_UNSENT: Final = MARK + str(UNSENT).encode()

Send = Callable[[str, int], Awaitable[None]]
"""So many events into that room, now."""


class Side(msgspec.Struct, frozen=True):
    """`requests` by room: what a subscriber sends to get in. `processes` are those whose time is counted.

    `greeting` is what a subscriber hears once it is in; most say no more than that they have understood.
    """

    name: str
    port: int
    requests: dict[str, bytes]
    processes: list[psutil.Process]
    send: Send
    greeting: bytes = b"\r\n\r\n"

    def cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)

    def rss(self) -> int:
        """Resident bytes of the process that serves."""
        return int(self.processes[-1].memory_info().rss)


def stamped(body: bytes) -> bytes:
    return body.replace(_UNSENT, MARK + str(time.time_ns()).encode())


def upgrade(path: str) -> bytes:
    hand = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
    key = "Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA=="
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{hand}\r\n{key}\r\n\r\n".encode()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()


@asynccontextmanager
async def service(settings: Settings, pid: int) -> AsyncIterator[Side]:
    """The service: an account a room. Events are written and announced as its own processes do it, but from here."""
    async with httpx.AsyncClient(base_url=settings.base_url) as http:
        made = {
            room: (await http.post("/accounts/", json=_wish(f"{room}-{os.urandom(4).hex()}"))).json() for room in ROOMS
        }
    engine, redis = create_engine(settings.database_url), wire.connect(settings.redis_url, timeout_s=1.0)

    async def send(room: str, count: int) -> None:
        account_id = made[room]["user"]["id"]
        async with engine.begin() as connection:
            heads = await journal.lock(connection, {account_id})
            events = await journal.write(connection, heads, [_fact(account_id)] * count)
        await wire.publish(redis, [msgspec.structs.replace(one, body=stamped(one.body)) for one in events])

    requests = {
        "sse": _keyed(get("/api/v1/stream"), made["sse"]["api_key"]),
        "ws": _keyed(upgrade("/ws/stream"), made["ws"]["api_key"]),
        "batch": _keyed(upgrade("/ws/stream?batch=1"), made["batch"]["api_key"]),
    }
    yield Side("signalhub", settings.port, requests, _family(pid), send, greeting=b"stream.ready")
    await redis.aclose()
    await engine.dispose()


@asynccontextmanager
async def stock(redis_url: str) -> AsyncIterator[Side]:
    """Litestar's channels plugin, served exactly as the service is."""
    port = free_port()
    os.environ["BENCH_REDIS_URL"] = redis_url
    command = [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--factory", "--no-log"),
        *("--port", str(port), "--backpressure", "20000", "--backlog", "4096", "tests.bench.fanout_stock:app"),
    ]
    backend = fanout_stock.backend()
    body = _body().body

    async def send(room: str, count: int) -> None:
        for _ in range(count):
            await backend.publish(stamped(body), [room])

    requests = {"sse": get("/sse/sse"), "ws": upgrade("/ws/ws")}
    with _running(command, port) as pid:
        yield Side("channels plugin", port, requests, _family(pid), send)


@asynccontextmanager
async def nchan(home: Path) -> AsyncIterator[Side | None]:
    """Nchan in nginx, one worker process, as Debian packages it; None where it is not installed."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or not _MODULE.exists():
        yield None
        return
    port, config = free_port(), home / "nginx.conf"
    config.write_text(_NGINX.format(module=_MODULE, home=home, port=port), encoding="utf-8")
    with _running([program, "-c", str(config), "-p", str(home)], port) as pid:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = _body().body

        async def send(room: str, count: int) -> None:
            for _ in range(count):
                head = f"POST /pub?id={room} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + stamped(body))
            for _ in range(count):
                answer = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))

        requests = {"sse": get("/sse?id=sse"), "ws": upgrade("/ws?id=ws")}
        yield Side("Nchan", port, requests, _family(pid), send)
        writer.close()


_NGINX: Final = """
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
def _running(command: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - our own, or Debian's
    try:
        _await(port)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:  # granian waits for open streams
            process.kill()
            process.wait()


def _await(port: int, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nobody answers on port {port}")


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _keyed(request: bytes, key: str) -> bytes:
    return request.removesuffix(b"\r\n") + f"X-API-Key: {key}\r\n\r\n".encode()


def _wish(name: str) -> dict[str, str]:
    return {"username": name, "broker_name": "mock", "account_id": "1", "api_key": "none"}


def _fact(account_id: str) -> Fact:
    return Fact(type="order.executed", account_id=account_id, data=_BODY, trace_id="0" * 32)


def _body() -> Event:
    """What the service's events look like, for those that have none of their own."""
    return append(Head(), _fact("0" * 36), datetime.now(UTC))[1]
