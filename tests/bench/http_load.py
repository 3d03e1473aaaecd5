"""A load generator that is cheap compared with the servers it measures.

Raw HTTP/1.1 over asyncio protocols, one request in flight per connection.
"""

import asyncio
import time
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

_HEAD_END = b"\r\n\r\n"
_CONTENT_LENGTH = b"content-length: "


class LoadResult(msgspec.Struct, frozen=True):
    """`latencies_ms` is sorted."""

    duration_s: float
    latencies_ms: list[float]
    failures: int

    @property
    def requests_per_second(self) -> float:
        return len(self.latencies_ms) / self.duration_s

    def percentile(self, fraction: float) -> float:
        return self.latencies_ms[min(int(len(self.latencies_ms) * fraction), len(self.latencies_ms) - 1)]


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, deadline: float) -> None:
        self._request, self._deadline = request, deadline
        self._buffer = b""
        self._sent_at = 0.0
        self.latencies_ms: list[float] = []
        self.failures = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(_HEAD_END)
        if not separator or len(body) < _parse_content_length(head):
            return
        now = time.perf_counter()
        self.latencies_ms.append((now - self._sent_at) * 1000)
        self.failures += not head.startswith(b"HTTP/1.1 2")
        self._buffer = b""
        if now < self._deadline:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failures += exc is not None
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)


def run(url: str, *, body: bytes, headers: dict[str, str], connections: int, duration_s: float) -> LoadResult:
    """POST `body` repeatedly for `duration_s` over `connections` connections."""
    return uvloop.run(_run(url, _build_request(url, body, headers), connections, duration_s))


async def _run(url: str, request: bytes, connections: int, duration_s: float) -> LoadResult:
    parts = urlsplit(url)
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    protocols = [
        await loop.create_connection(
            lambda: _Connection(request, began + duration_s), parts.hostname or "", parts.port or 80
        )
        for _ in range(connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(protocol.done for _, protocol in protocols)), duration_s + 10)
    latencies = sorted(latency_ms for _, protocol in protocols for latency_ms in protocol.latencies_ms)
    failures = sum(protocol.failures for _, protocol in protocols)
    return LoadResult(time.perf_counter() - began, latencies, failures)


def _build_request(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"host: {parts.netloc}", f"content-length: {len(body)}"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    return "\r\n".join(lines).encode() + _HEAD_END + body


def _parse_content_length(head: bytes) -> int:
    start = head.lower().find(_CONTENT_LENGTH)
    return 0 if start < 0 else int(head[start + len(_CONTENT_LENGTH) :].split(b"\r\n", 1)[0])
