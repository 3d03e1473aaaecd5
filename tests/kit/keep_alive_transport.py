"""An httpx transport for a load of requests: httpx's own looks at each of its connections for each request."""

import asyncio
from typing import Final

import httpx

_HEAD_END: Final = b"\r\n\r\n"


class KeepAliveTransport(httpx.AsyncBaseTransport):
    """Sends each request on a free connection to the host of the URL, or on a new one.

    For responses with a `Content-Length`. The client's `read` timeout is that of the whole request.
    """

    def __init__(self) -> None:
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeout_s = request.extensions["timeout"]["read"]
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request)
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"no response within {timeout_s} s", request=request) from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise httpx.ReadError(repr(error), request=request) from error

    async def aclose(self) -> None:
        while self._free:
            self._free.pop()[1].close()

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        host, port = request.url.host, request.url.port
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection(host, port)
        try:
            head = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1".encode()]
            head += [name + b": " + value for name, value in request.headers.raw]
            writer.write(b"\r\n".join(head) + _HEAD_END + await request.aread())
            status_line, *lines = (await reader.readuntil(_HEAD_END)).decode("latin-1").split("\r\n")
            headers = httpx.Headers(
                [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
            )
            body = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            raise
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._free.append((reader, writer))
        return httpx.Response(int(status_line.split(" ", 2)[1]), headers=headers, content=body)
