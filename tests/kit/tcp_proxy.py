"""TCP proxy in front of the service that breaks connections in the ways networks do: reset, cut, gone silent."""

import asyncio
import random
import re
import socket
import struct
from contextlib import suppress
from typing import Final, Self

_CHUNK_BYTES: Final = 65_536
_SSE_FRAME_END: Final = re.compile(rb"\nid: [^\n]*\n\n")
_DELIVERY_PAUSE_S: Final = 0.05
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close() sends RST in place of FIN


class TcpProxy:
    """`async with TcpProxy(port) as proxy` forwards `proxy.port` to `port`, both on 127.0.0.1.

    `connection_count` counts the connections that clients have opened so far.
    """

    def __init__(self, service_port: int) -> None:
        self.service_port, self.port, self.connection_count = service_port, 0, 0
        self._connections: set[_ProxiedConnection] = set()
        self._serving_tasks: set[asyncio.Task[None]] = set()
        self._pending_cut: _Cut | None = None
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset_connections()
        await asyncio.gather(*self._serving_tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset_connections(self) -> int:
        """Reset all open connections, on both sides; return how many there were."""
        connections, self._connections = self._connections, set()
        for connection in connections:
            connection.close(is_reset=True)
        return len(connections)

    def silence_connections(self) -> int:
        """Forward nothing more over the connections that are open now, and do not close them; return their number.

        New connections work. So does a network whose address translation has forgotten the old ones.
        """
        for connection in self._connections:
            connection.is_silent = True
        return len(self._connections)

    async def cut_next_write(
        self, marker: bytes, *, is_reset: bool, is_id_line_cut: bool = True, timeout_s: float = 30.0
    ) -> None:
        """Forward a part of the next data of the service with `marker` in it, then end that connection.

        Returns once it is cut. Raises TimeoutError where no such data is sent.
        """
        self._pending_cut = _Cut(marker, is_reset=is_reset, is_id_line_cut=is_id_line_cut)
        try:
            async with asyncio.timeout(timeout_s):
                await self._pending_cut.is_done.wait()
        finally:
            self._pending_cut = None

    def take_cut(self, data: bytes) -> "_Cut | None":
        """Return the pending cut where it applies to `data`, once."""
        cut = self._pending_cut
        if cut is None or cut.marker not in data:
            return None
        self._pending_cut = None
        return cut

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving_tasks.add(task)
        task.add_done_callback(self._serving_tasks.discard)
        try:
            service = await asyncio.open_connection("127.0.0.1", self.service_port)
        except OSError:
            _close(writer, is_reset=True)
            return
        connection = _ProxiedConnection(self, (reader, writer), service)
        self._connections.add(connection)
        if self._server is None or not self._server.is_serving():  # closed in the meantime
            connection.close(is_reset=True)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)


class _Cut:
    def __init__(self, marker: bytes, *, is_reset: bool, is_id_line_cut: bool) -> None:
        self.marker, self.is_reset, self.is_id_line_cut = marker, is_reset, is_id_line_cut
        self.is_done = asyncio.Event()


class _ProxiedConnection:
    def __init__(
        self,
        proxy: TcpProxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        service: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.is_silent = False
        self._is_closed = asyncio.Event()
        self._proxy = proxy
        self._client_reader, self._client_writer = client
        self._service_reader, self._service_writer = service

    async def run(self) -> None:
        """Forward in both directions until one side ends."""
        pumps = [asyncio.create_task(self._forward_requests()), asyncio.create_task(self._forward_answers())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self.close(is_reset=False)
            await asyncio.gather(*pumps, return_exceptions=True)

    def close(self, *, is_reset: bool) -> None:
        self._is_closed.set()
        _close(self._client_writer, is_reset=is_reset)
        _close(self._service_writer, is_reset=is_reset)

    async def _forward_requests(self) -> None:
        with suppress(OSError):
            while data := await self._client_reader.read(_CHUNK_BYTES):
                await self._wait_while_silent()
                self._service_writer.write(data)
                await self._service_writer.drain()
            await self._wait_while_silent()

    async def _forward_answers(self) -> None:
        with suppress(OSError):
            while data := await self._service_reader.read(_CHUNK_BYTES):
                await self._wait_while_silent()
                if (cut := self._proxy.take_cut(data)) is not None:
                    offset = choose_cut_offset(data, is_id_line_cut=cut.is_id_line_cut)
                    self._client_writer.write(data[:offset])
                    await self._client_writer.drain()
                    await asyncio.sleep(_DELIVERY_PAUSE_S)  # or a reset could overtake what was written
                    self.close(is_reset=cut.is_reset)
                    cut.is_done.set()
                    return
                self._client_writer.write(data)
                await self._client_writer.drain()
            await self._wait_while_silent()

    async def _wait_while_silent(self) -> None:
        """Keep what was read, or the end of it, for as long as the connection is open."""
        if self.is_silent:
            await self._is_closed.wait()
            raise ConnectionResetError


def choose_cut_offset(data: bytes, *, is_id_line_cut: bool = True) -> int:
    """Return a random offset inside the frames of `data`, but none between the two line feeds that end an SSE frame.

    A client that takes an id when it reads its line, not when the frame ends, would lose the event there whatever the
    service does. With `is_id_line_cut` false it is none in the line of the id either. The head of a response is no
    frame: with it a browser loses the cookie that replaces its spent ticket.
    """
    start = data.find(b"\r\n\r\n") + 4 if data.startswith(b"HTTP/") else 0
    offsets = set(range(start + 1, len(data)))
    for frame_end in _SSE_FRAME_END.finditer(data):
        first_excluded = frame_end.end() - 1 if is_id_line_cut else frame_end.start() + 1
        offsets -= set(range(first_excluded, frame_end.end()))
    return random.SystemRandom().choice(sorted(offsets))


def _close(writer: asyncio.StreamWriter, *, is_reset: bool) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if is_reset and connection is not None and not writer.is_closing():
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()
    else:
        writer.close()
