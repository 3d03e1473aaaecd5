"""The WebSocket frame by frame (RFC 6455), as wsproto sees it: what no polite client library would send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import psutil  # type: ignore[import-untyped]  # it ships none
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, Pong, Request, TextMessage
from wsproto.frame_protocol import CloseReason, FrameProtocol

from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp

PING = '{"type":"ping"}'
PONG = '{"type":"pong"}'


class Wire:
    """A client's end. wsproto checks what the server sends; `write` sends any bytes at all."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._end = WSConnection(ConnectionType.CLIENT)
        self.frames = FrameProtocol(client=True, extensions=[])
        self._heard: list[Event] = []
        self.is_over = False
        self.port: int = writer.get_extra_info("sockname")[1]

    def send(self, event: Event) -> None:
        self._writer.write(self._end.send(event))

    def say(self, text: str, *, is_last: bool = True) -> None:
        """A message, or a piece of one."""
        self._writer.write(self.frames.send_data(text, fin=is_last))

    def write(self, data: bytes | bytearray) -> None:
        self._writer.write(data)

    async def next(self) -> Event | None:
        """The next event; None where the line is closed without a word."""
        async with asyncio.timeout(8):
            while not self._heard and not self.is_over:
                data = await self._reader.read(65536)
                self.is_over = not data
                if data:
                    self._end.receive_data(data)
                    self._heard += self._end.events()
        return self._heard.pop(0) if self._heard else None

    async def text(self) -> str:
        """The next message, put together."""
        parts = []
        while True:
            event = await self.next()
            if isinstance(event, TextMessage):
                parts.append(event.data)
                if event.message_finished:
                    return "".join(parts)
            assert not isinstance(event, CloseConnection | None), event

    async def closed(self) -> int | None:
        """The code of the close, after whatever else is said; None where the line just ends."""
        while not isinstance(event := await self.next(), CloseConnection | None):
            pass
        return event.code if event is not None else None


@asynccontextmanager
async def wire(account: AccountClient, path: str = "/ws/stream") -> AsyncIterator[Wire]:
    """A socket of the account's that has said where it begins."""
    host, port = account.http.base_url.host, account.http.base_url.port
    reader, writer = await asyncio.open_connection(host, port)
    line = Wire(reader, writer)
    try:
        headers = [(b"X-API-Key", account.api_key.encode())]
        line.send(Request(host=f"{host}:{port}", target=path, extra_headers=headers))
        assert isinstance(await line.next(), AcceptConnection)
        assert msgspec.json.decode(await line.text())["type"] == "stream.ready"
        yield line
    finally:
        writer.close()


@pytest.fixture
async def line(account: AccountClient) -> AsyncIterator[Wire]:
    async with wire(account) as opened:
        yield opened


async def test_fragmented_message_with_interleaved_ping(line: Wire) -> None:
    line.say(PING[:4], is_last=False)
    line.write(line.frames.ping(b"are you there"))
    line.say(PING[4:9], is_last=False)
    line.say(PING[9:])
    assert await line.next() == Pong(payload=b"are you there")
    assert await line.text() == PONG


async def test_frames_are_read_byte_by_byte(line: Wire) -> None:
    whole = line.frames.send_data(PING, fin=True)
    for place in range(len(whole)):
        line.write(whole[place : place + 1])
        await asyncio.sleep(0)
    assert await line.text() == PONG


async def test_events_are_unfragmented_text_frames(account: AccountClient, line: Wire) -> None:
    await account.send_signal()
    for seq in (2, 3):
        event = await line.next()
        assert isinstance(event, TextMessage)
        assert (event.frame_finished, event.message_finished) == (True, True)
        assert msgspec.json.decode(event.data)["seq"] == seq


@pytest.mark.parametrize("payload", [b"", b"x" * 125])
async def test_pong_echoes_ping_payload(line: Wire, payload: bytes) -> None:
    line.send(Ping(payload=payload))
    assert await line.next() == Pong(payload=payload)


async def test_unsolicited_pong_is_ignored(line: Wire) -> None:
    line.send(Pong(payload=b"x"))
    line.say(PING)
    assert await line.text() == PONG


@pytest.mark.parametrize("code", [CloseReason.NORMAL_CLOSURE, CloseReason.GOING_AWAY, 4000])
async def test_close_code_is_echoed(line: Wire, code: int) -> None:
    line.send(CloseConnection(code=code, reason="done"))
    assert await line.closed() == code


async def test_closing_client_that_stops_reading_is_disconnected(app: RunningApp, account: AccountClient) -> None:
    """What was begun for it must not keep its connection: nobody else would ever close it."""
    for _ in range(6):
        await app.append_events(account, 500, padding="x" * 2_000)
    async with wire(account, "/ws/stream?after=0") as line:
        await asyncio.sleep(0.5)  # until the buffers are full
        assert line.port in _peers(app)
        line.send(CloseConnection(code=CloseReason.NORMAL_CLOSURE))

        async def is_left() -> bool:
            return line.port not in _peers(app)

        await wait_until(is_left, timeout_s=5, interval_s=0.1)


def _peers(app: RunningApp) -> set[int]:
    """The ports of those with whom the web process holds a connection."""
    processes = psutil.Process(app.web.popen.pid).children(recursive=True)
    return {one.raddr.port for process in processes for one in process.net_connections("tcp") if one.raddr}


# Each masked with four zeros, which leave it as it is.
FAULTS = {
    "text that is not UTF-8": b"\x81\x82" + bytes(4) + b"\xff\xfe",
    "a control frame that is too long": b"\x89\xfe\x00\x7e" + bytes(4 + 126),
    "a control frame in pieces": b"\x09\x80" + bytes(4),
    "a reserved opcode": b"\x83\x80" + bytes(4),
    "a reserved bit": b"\xf1\x80" + bytes(4),
    "a frame without a mask": b"\x81\x01x",
    "the end of a message that never began": b"\x80\x80" + bytes(4),
    "a frame as long as a number can say": b"\x81\xff\x7f" + b"\xff" * 7 + bytes(4),
    "a close of one byte": b"\x88\x81" + bytes(5),
    "a close with a code that is none": b"\x88\x82" + bytes(4) + b"\x00\x05",
    "a message too long": b"\x81\xfe\x20\x00" + bytes(4) + b"x" * 8192,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_framing_fault_closes_only_that_socket(account: AccountClient, line: Wire, fault: str) -> None:
    async with wire(account) as other:
        line.write(FAULTS[fault])
        assert await line.closed() in {CloseReason.PROTOCOL_ERROR, CloseReason.MESSAGE_TOO_BIG}
        other.say(PING)
        assert await other.text() == PONG
