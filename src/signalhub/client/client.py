"""`Client`: send signals, list orders, follow the event log."""

import asyncio
import warnings
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec

from signalhub.client.connections import Item, ServiceConnection
from signalhub.client.errors import ClientError, Refused, Unreachable, parse_refusal
from signalhub.client.follow import CursorTracker, Transport, follow
from signalhub.domain.events import OrderView
from signalhub.protocol import Accepted

_FIRST_ERROR_STATUS: Final = 400
_RETRY_DELAYS_S: Final = (0.3, 1.0, 3.0)
_MAX_PAGE_SIZE: Final = 100

ResponseT = TypeVar("ResponseT")


class _OrderPage(msgspec.Struct):
    items: list[OrderView]
    next_cursor: str | None


class Client:
    """Connection to one account: `async with Client("http://127.0.0.1:8000", "shk_…") as client`.

    Every method may raise ClientError.
    """

    def __init__(self, url: str, api_key: str, *, timeout_s: float = 10.0) -> None:
        self._connection = ServiceConnection(url, api_key, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.http.aclose()

    async def send(
        self, text: str | bytes, *, idempotency_key: str | None = None, simulate: str | None = None
    ) -> Accepted:
        """Send a signal, as text or JSON. Raises Refused, whose `problems` name each fault of the text.

        With an `idempotency_key` the signal is sent again while no response arrives, and creates one order however
        often that is. Without one, a lost response raises Unreachable with `is_uncertain`: the order may exist.
        """
        optional_headers = {"Idempotency-Key": idempotency_key, "X-SignalHub-Simulate": simulate}
        headers = {name: value for name, value in optional_headers.items() if value is not None}
        for delay_s in _RETRY_DELAYS_S if idempotency_key else ():
            try:
                return await self._send_once(text, headers)
            except (Unreachable, Refused) as error:
                if isinstance(error, Refused) and not error.is_passing:
                    raise
                await asyncio.sleep(max(delay_s, getattr(error, "retry_after_s", 0.0)))
        return await self._send_once(text, headers)

    async def orders(self, *, status: str | None = None, symbol: str | None = None, limit: int = 50) -> list[OrderView]:
        """Return up to `limit` orders, the newest first."""
        listed: list[OrderView] = []
        query = {name: text for name, text in (("status", status), ("symbol", symbol)) if text is not None}
        while len(listed) < limit:
            query["limit"] = str(min(_MAX_PAGE_SIZE, limit - len(listed)))
            page = _decode(await self._request("GET", "/api/v1/orders", params=query), _OrderPage)
            listed += page.items
            if page.next_cursor is None:
                break
            query["cursor"] = page.next_cursor
        return listed

    def events(
        self,
        *,
        after: int | str | None = None,
        types: Iterable[str] = (),
        transport: Transport = "sse",
        on_connection_change: Callable[[bool], None] = lambda _: None,
        told: Callable[[bool], None] | None = None,
    ) -> AsyncGenerator[Item, None]:
        """Follow the event log endlessly: each event once, in order, across lost connections and service restarts.

        Starts after the event `after` (a `seq`, or a cursor `<epoch>-<seq>`; 0 is the first event), by default with the
        next event. `types` are patterns such as `order.*`. Besides events it yields Reset (state derived from earlier
        events is invalid) and Gap (events were deleted). `on_connection_change` is called with True when a connection
        is established, and with False when it is lost or has missed two heartbeats; `told` is its deprecated name.
        """
        if told is not None:
            warnings.warn("`told` is now `on_connection_change`", DeprecationWarning, stacklevel=2)
            on_connection_change = told
        return follow(
            self._connection,
            CursorTracker(after),
            ",".join(types),
            transport=transport,
            on_connection_change=on_connection_change,
        )

    async def request(self, method: str, path: str, **params: str | int) -> bytes:
        """Send any request and return the body of the response. `params` are of the query."""
        return await self._request(method, path, params=params)

    async def _send_once(self, text: str | bytes, headers: dict[str, str]) -> Accepted:
        # The bytes that the shell handed over, also where they are not UTF-8: the service reports the position.
        content = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        headers = {"Content-Type": "text/plain; charset=utf-8", **headers}
        return _decode(await self._request("POST", "/api/v1/signals", content=content, headers=headers), Accepted)

    async def _request(self, method: str, path: str, **options: Any) -> bytes:  # noqa: ANN401 - handed through to httpx
        try:
            response = await self._connection.http.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._connection.to_unreachable(error) from None
        if response.status_code >= _FIRST_ERROR_STATUS:
            raise parse_refusal(response.status_code, response.content, response.headers.get("retry-after"))
        return response.content


def _decode(body: bytes, response_type: type[ResponseT]) -> ResponseT:
    try:
        return msgspec.json.decode(body, type=response_type)
    except msgspec.MsgspecError:
        raise ClientError("What answers there is not this service.") from None
