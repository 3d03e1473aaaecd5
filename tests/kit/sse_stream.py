"""Reader of Server-Sent Events that keeps comments and `retry:`, which clients usually drop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from tests.kit.polling import WAIT_LIMIT_S


class SseFrame(msgspec.Struct, frozen=True):
    """One block between blank lines. `data` holds the bytes of its data lines."""

    id: str | None
    event: str | None
    data: bytes
    comment: bytes | None
    retry: int | None

    @property
    def json(self) -> Any:  # noqa: ANN401 - what the event carries
        return msgspec.json.decode(self.data)


def parse_frame(block: bytes) -> SseFrame:
    fields: dict[bytes, list[bytes]] = {}
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        fields.setdefault(name, []).append(value.removeprefix(b" "))
    last_values = {name: values[-1].decode() for name, values in fields.items()}
    return SseFrame(
        id=last_values.get(b"id"),
        event=last_values.get(b"event"),
        data=b"\n".join(fields.get(b"data", [])),
        comment=fields[b""][0] if b"" in fields else None,
        retry=int(last_values[b"retry"]) if b"retry" in last_values else None,
    )


class SseStream:
    """An open stream. A task reads the frames, so a wait that times out loses none."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.frames: list[SseFrame] = []
        self._queue: asyncio.Queue[SseFrame | None] = asyncio.Queue()
        self._reader_task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        incomplete = b""
        try:
            async for chunk in self.response.aiter_bytes():
                *blocks, incomplete = (incomplete + chunk).split(b"\n\n")
                for block in blocks:
                    self._queue.put_nowait(parse_frame(block))
        except httpx.TransportError:
            pass
        finally:
            self._queue.put_nowait(None)

    async def next_frame(self, timeout_s: float = WAIT_LIMIT_S) -> SseFrame | None:
        """Return the next frame of any kind, or None at the end of the stream."""
        async with asyncio.timeout(timeout_s):
            frame = await self._queue.get()
        if frame is None:
            self._queue.put_nowait(None)
        else:
            self.frames.append(frame)
        return frame

    async def next_event(self, timeout_s: float = WAIT_LIMIT_S) -> SseFrame:
        """Return the next event that is no heartbeat. Raises AssertionError at the end of the stream."""
        async with asyncio.timeout(timeout_s):
            while (frame := await self.next_frame(timeout_s)) is not None:
                if frame.event not in {None, "stream.heartbeat"}:
                    return frame
        raise AssertionError("the stream ended")

    async def expect_ready(self) -> SseFrame:
        frame = await self.next_event()
        assert frame.event == "stream.ready"
        return frame

    async def next_events(self, count: int) -> list[SseFrame]:
        return [await self.next_event() for _ in range(count)]

    async def read_until(self, event: str) -> list[SseFrame]:
        """Return all events up to the first `event`, included."""
        frames = [await self.next_event()]
        while frames[-1].event != event:
            frames.append(await self.next_event())
        return frames

    async def wait_until_closed(self, timeout_s: float = WAIT_LIMIT_S) -> None:
        """Wait for the end of the stream. Frames until then are kept in `frames`."""
        async with asyncio.timeout(timeout_s):
            while await self.next_frame(timeout_s) is not None:
                pass

    async def is_silent(self, duration_s: float = 0.3) -> bool:
        """Return True if no event arrives within `duration_s`."""
        try:
            await self.next_event(duration_s)
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        self._reader_task.cancel()
        await asyncio.gather(self._reader_task, return_exceptions=True)


@asynccontextmanager
async def open_sse(
    http: httpx.AsyncClient, *, headers: Mapping[str, str] | None = None, **params: str | int
) -> AsyncIterator[SseStream]:
    """Open `/api/v1/stream`, which must be accepted."""
    request = http.stream("GET", "/api/v1/stream", params=params, headers=headers, timeout=30)
    async with request as response:
        assert response.status_code == httpx.codes.OK, (await response.aread()).decode()
        stream = SseStream(response)
        try:
            yield stream
        finally:
            await stream.close()
