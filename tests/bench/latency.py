"""From the POST of a signal to `order.executed` on an open SSE stream.

Profile `instant`, an idle system, and each time the first signal after a pause, so that any polling interval shows in
the figures. Several installations alternate, so that the pauses overlap.
"""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import httpx

from tests.bench.ingest import SIGNAL_TEXT
from tests.bench.table import Table
from tests.kit.setting_changes import make_settings
from tests.kit.stack import Stack

MAX_P50_MS, MAX_P99_MS = 25.0, 60.0

_WARM_UP_ROUNDS = 5
"""The first signals of a process open connections, which is not measured here."""


def main(signals: int = 200, quiet_s: float = 10.0, installations: int = 4) -> bool:
    """Print the table; return whether both targets are met."""
    with TemporaryDirectory() as directory, ExitStack() as running:
        stacks = [
            Stack(Path(directory) / str(number), make_settings(broker_profile="instant"))
            for number in range(installations)
        ]
        for stack in stacks:
            running.callback(stack.stop)
            stack.start()
        latencies_ms = sorted(asyncio.run(_measure(stacks, signals, quiet_s)))
    p50, p99 = median(latencies_ms), latencies_ms[min(int(len(latencies_ms) * 0.99), len(latencies_ms) - 1)]
    table = Table("signals", "quiet s", "p50 ms", "p90 ms", "p99 ms", "max ms")
    p90 = latencies_ms[int(len(latencies_ms) * 0.9)]
    table.add(str(signals), f"{quiet_s:g}", f"{p50:.1f}", f"{p90:.1f}", f"{p99:.1f}", f"{latencies_ms[-1]:.1f}")
    table.write()
    sys.stdout.write(f"targets: p50 {MAX_P50_MS} ms, p99 {MAX_P99_MS} ms\n")
    return p50 <= MAX_P50_MS and p99 <= MAX_P99_MS


async def _measure(stacks: list[Stack], signals: int, quiet_s: float) -> list[float]:
    async with AsyncExitStack() as exit_stack:
        clients = [await exit_stack.enter_async_context(_open_client(stack)) for stack in stacks]
        for client in clients * _WARM_UP_ROUNDS:
            await _measure_signal_ms(client, 0)
        await asyncio.sleep(quiet_s)
        count = len(clients)
        return [await _measure_signal_ms(clients[number % count], quiet_s / count) for number in range(signals)]


class _LatencyClient:
    """An account of one installation, with a connection to send and a stream to follow.

    Both are plain sockets, so that the time of a client library is not measured.
    """

    def __init__(self, url: str, key: str) -> None:
        self._address, self._key = urlsplit(url), key
        self.fill_times: asyncio.Queue[float] = asyncio.Queue()

    async def follow(self) -> None:
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        writer.write(self._request("GET", "/api/v1/stream?types=order.executed", b""))
        while line := await reader.readline():
            if line == b"event: order.executed\n":
                self.fill_times.put_nowait(time.perf_counter())

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._address.hostname, self._address.port)

    async def send(self) -> None:
        self._writer.write(self._request("POST", "/api/v1/signals", SIGNAL_TEXT))
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 202"):
            raise RuntimeError(head.decode())
        await self._reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._address.netloc}\r\nx-api-key: {self._key}\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def _open_client(stack: Stack) -> AsyncIterator[_LatencyClient]:
    await stack.wait_until_ready()
    registration = {"username": "bench", "broker_name": "mock", "account_id": "1", "api_key": "none"}
    async with httpx.AsyncClient(base_url=stack.base_url) as http:
        api_key = (await http.post("/accounts/", json=registration)).json()["api_key"]
    client = _LatencyClient(stack.base_url, api_key)
    await client.open()
    follow_task = asyncio.create_task(client.follow())
    await asyncio.sleep(1)
    yield client
    follow_task.cancel()


async def _measure_signal_ms(client: _LatencyClient, pause_s: float) -> float:
    await asyncio.sleep(pause_s)
    began = time.perf_counter()
    send_task = asyncio.create_task(client.send())
    async with asyncio.timeout(10):
        ended = await client.fill_times.get()
    await send_task
    return (ended - began) * 1000
