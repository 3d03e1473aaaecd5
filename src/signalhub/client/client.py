"""The client: send signals, read orders, follow the log."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec

from signalhub.client.errors import ClientError, Refused, Unreachable, parse_refusal
from signalhub.client.events import Item
from signalhub.client.follow import CursorTracker, Transport, follow
from signalhub.client.transport import ServiceConnection
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
    """Use it as `async with Client("http://127.0.0.1:8000", "shk_…") as client`. Every call may raise ClientError."""

    def __init__(self, url: str, api_key: str, *, timeout_s: float = 10.0) -> None:
        self._connection = ServiceConnection(url, api_key, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.http.aclose()

    async def send(
        self, text: str | bytes, *, idempotency_key: str | None = None, simulate: str | None = None
    ) -> Accepted:
        """Send a signal, as text or JSON. `Refused.problems` say what is wrong with one.

        With an `idempotency_key` it is sent again where no answer came, and makes one order however often that is.
        Without, a lost answer is `Unreachable` and `is_uncertain`: the signal may have been taken.
        """
        wanted = {"Idempotency-Key": idempotency_key, "X-SignalHub-Simulate": simulate}
        headers = {name: value for name, value in wanted.items() if value is not None}
        for pause_s in _RETRY_DELAYS_S if idempotency_key else ():
            try:
                return await self._send_once(text, headers)
            except (Unreachable, Refused) as error:
                if isinstance(error, Refused) and not error.is_passing:
                    raise
                await asyncio.sleep(max(pause_s, getattr(error, "retry_after_s", 0.0)))
        return await self._send_once(text, headers)

    async def orders(self, *, status: str | None = None, symbol: str | None = None, limit: int = 50) -> list[OrderView]:
        """The newest orders first, up to `limit` of them."""
        found: list[OrderView] = []
        query = {name: text for name, text in (("status", status), ("symbol", symbol)) if text is not None}
        while len(found) < limit:
            query["limit"] = str(min(_MAX_PAGE_SIZE, limit - len(found)))
            page = _decode(await self._request("GET", "/api/v1/orders", params=query), _OrderPage)
            found += page.items
            if page.next_cursor is None:
                break
            query["cursor"] = page.next_cursor
        return found

    def events(
        self,
        *,
        after: int | str | None = None,
        types: Iterable[str] = (),
        transport: Transport = "sse",
        on_connection_change: Callable[[bool], None] = lambda _: None,
    ) -> AsyncGenerator[Item, None]:
        """Follow the log without an end: each event once, in order, whatever breaks on the way.

        Begins after the event `after` (0: with the first; a cursor `<epoch>-<seq>`), or from now on. `types` are
        patterns such as `order.*`. Beside events there are `Reset` and `Gap`, which say that the state kept so far is
        not to be trusted, or that events are gone. `told` hears when a line is up (True) and when it is lost (False).
        """
        return follow(
            self._connection,
            CursorTracker(after),
            ",".join(types),
            transport=transport,
            on_connection_change=on_connection_change,
        )

    async def _send_once(self, text: str | bytes, headers: dict[str, str]) -> Accepted:
        content = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        headers = {"Content-Type": "text/plain; charset=utf-8", **headers}
        return _decode(await self._request("POST", "/api/v1/signals", content=content, headers=headers), Accepted)

    async def _request(self, method: str, path: str, **options: Any) -> bytes:  # noqa: ANN401 - handed through to httpx
        try:
            answer = await self._connection.http.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._connection.to_unreachable(error) from None
        if answer.status_code >= _FIRST_ERROR_STATUS:
            raise parse_refusal(answer.status_code, answer.content, answer.headers.get("retry-after"))
        return answer.content


def _decode(body: bytes, response_type: type[ResponseT]) -> ResponseT:
    try:
        return msgspec.json.decode(body, type=response_type)
    except msgspec.MsgspecError:
        raise ClientError("What answers there is not this service.") from None
