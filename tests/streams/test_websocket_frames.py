"""The WebSocket frame by frame (RFC 6455), with wsproto: frames that client libraries do not send."""

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


class RawWebSocket:
    """A client. wsproto checks what the server sends; `write` sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._end = WSConnection(ConnectionType.CLIENT)
        self.frames = FrameProtocol(client=True, extensions=[])
        self._events: list[Event] = []
        self.is_over = False
        self.port: int = writer.get_extra_info("sockname")[1]

    def send(self, event: Event) -> None:
        self._writer.write(self._end.send(event))

    def send_text(self, text: str, *, is_last: bool = True) -> None:
        """Send a text message, or a fragment of one."""
        self._writer.write(self.frames.send_data(text, fin=is_last))

    def write(self, data: bytes | bytearray) -> None:
        self._writer.write(data)

    async def next(self) -> Event | None:
        """Return the next event; None where the connection ends without a close frame."""
        async with asyncio.timeout(8):
            while not self._events and not self.is_over:
                data = await self._reader.read(65536)
                self.is_over = not data
                if data:
                    self._end.receive_data(data)
                    self._events += self._end.events()
        return self._events.pop(0) if self._events else None

    async def text(self) -> str:
        """Return the next message, reassembled."""
        parts = []
        while True:
            event = await self.next()
            if isinstance(event, TextMessage):
                parts.append(event.data)
                if event.message_finished:
                    return "".join(parts)
            assert not isinstance(event, CloseConnection | None), event

    async def closed(self) -> int | None:
        """Return the close code, skipping other events; None where the connection ends without one."""
        while not isinstance(event := await self.next(), CloseConnection | None):
            pass
        return event.code if event is not None else None


@asynccontextmanager
async def open_raw_socket(account: AccountClient, path: str = "/ws/stream") -> AsyncIterator[RawWebSocket]:
    """Open a socket of the account and read its first frame."""
    host, port = account.http.base_url.host, account.http.base_url.port
    reader, writer = await asyncio.open_connection(host, port)
    raw_socket = RawWebSocket(reader, writer)
    try:
        headers = [(b"X-API-Key", account.api_key.encode())]
        raw_socket.send(Request(host=f"{host}:{port}", target=path, extra_headers=headers))
        assert isinstance(await raw_socket.next(), AcceptConnection)
        assert msgspec.json.decode(await raw_socket.text())["type"] == "stream.ready"
        yield raw_socket
    finally:
        writer.close()


@pytest.fixture
async def raw_socket(account: AccountClient) -> AsyncIterator[RawWebSocket]:
    async with open_raw_socket(account) as opened:
        yield opened


async def test_fragmented_message_with_interleaved_ping(raw_socket: RawWebSocket) -> None:
    raw_socket.send_text(PING[:4], is_last=False)
    raw_socket.write(raw_socket.frames.ping(b"are you there"))
    raw_socket.send_text(PING[4:9], is_last=False)
    raw_socket.send_text(PING[9:])
    assert await raw_socket.next() == Pong(payload=b"are you there")
    assert await raw_socket.text() == PONG


async def test_frames_are_read_byte_by_byte(raw_socket: RawWebSocket) -> None:
    frame = raw_socket.frames.send_data(PING, fin=True)
    for index in range(len(frame)):
        raw_socket.write(frame[index : index + 1])
        await asyncio.sleep(0)
    assert await raw_socket.text() == PONG


async def test_events_are_unfragmented_text_frames(account: AccountClient, raw_socket: RawWebSocket) -> None:
    await account.send_signal()
    for seq in (2, 3):
        event = await raw_socket.next()
        assert isinstance(event, TextMessage)
        assert (event.frame_finished, event.message_finished) == (True, True)
        assert msgspec.json.decode(event.data)["seq"] == seq


@pytest.mark.parametrize("payload", [b"", b"x" * 125])
async def test_pong_echoes_ping_payload(raw_socket: RawWebSocket, payload: bytes) -> None:
    raw_socket.send(Ping(payload=payload))
    assert await raw_socket.next() == Pong(payload=payload)


async def test_unsolicited_pong_is_ignored(raw_socket: RawWebSocket) -> None:
    raw_socket.send(Pong(payload=b"x"))
    raw_socket.send_text(PING)
    assert await raw_socket.text() == PONG


@pytest.mark.parametrize("code", [CloseReason.NORMAL_CLOSURE, CloseReason.GOING_AWAY, 4000])
async def test_close_code_is_echoed(raw_socket: RawWebSocket, code: int) -> None:
    raw_socket.send(CloseConnection(code=code, reason="done"))
    assert await raw_socket.closed() == code


async def test_closing_client_that_stops_reading_is_disconnected(app: RunningApp, account: AccountClient) -> None:
    """A started write must not keep the connection open: nothing else would ever close it."""
    for _ in range(6):
        await app.append_events(account, 500, padding="x" * 2_000)
    async with open_raw_socket(account, "/ws/stream?after=0") as raw_socket:
        await asyncio.sleep(0.5)  # until the buffers are full
        assert raw_socket.port in _peer_ports(app)
        raw_socket.send(CloseConnection(code=CloseReason.NORMAL_CLOSURE))

        async def is_disconnected() -> bool:
            return raw_socket.port not in _peer_ports(app)

        await wait_until(is_disconnected, interval_s=0.1)


def _peer_ports(app: RunningApp) -> set[int]:
    """Return the peer ports of the connections of the web process."""
    processes = psutil.Process(app.web.popen.pid).children(recursive=True)
    return {
        connection.raddr.port
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.raddr
    }


# Each masked with four zeros, which leave it as it is.
FRAMING_FAULTS = {
    "text that is not UTF-8": b"\x81\x82" + bytes(4) + b"\xff\xfe",
    "a control frame that is too long": b"\x89\xfe\x00\x7e" + bytes(4 + 126),
    "a fragmented control frame": b"\x09\x80" + bytes(4),
    "a reserved opcode": b"\x83\x80" + bytes(4),
    "a reserved bit": b"\xf1\x80" + bytes(4),
    "a frame without a mask": b"\x81\x01x",
    "the end of a message that never began": b"\x80\x80" + bytes(4),
    "a frame of the greatest length that can be written": b"\x81\xff\x7f" + b"\xff" * 7 + bytes(4),
    "a close of one byte": b"\x88\x81" + bytes(5),
    "a close with an invalid code": b"\x88\x82" + bytes(4) + b"\x00\x05",
    "a message too long": b"\x81\xfe\x20\x00" + bytes(4) + b"x" * 8192,
}


@pytest.mark.parametrize("fault", FRAMING_FAULTS)
async def test_framing_fault_closes_only_that_socket(
    account: AccountClient, raw_socket: RawWebSocket, fault: str
) -> None:
    async with open_raw_socket(account) as other:
        raw_socket.write(FRAMING_FAULTS[fault])
        assert await raw_socket.closed() in {CloseReason.PROTOCOL_ERROR, CloseReason.MESSAGE_TOO_BIG}
        other.send_text(PING)
        assert await other.text() == PONG
