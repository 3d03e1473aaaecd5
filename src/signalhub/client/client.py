"""The client: send signals, read orders, follow the log."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec

from signalhub.client.errors import ClientError, Refused, Unreachable, refusal
from signalhub.client.following import Transport, follow
from signalhub.client.items import Item
from signalhub.client.position import Position
from signalhub.client.target import Target
from signalhub.domain.events import OrderView
from signalhub.domain.signal import SignalView

_FIRST_ERROR: Final = 400
_PAUSES_S: Final = (0.3, 1.0, 3.0)
_PAGE: Final = 100

Answer = TypeVar("Answer")


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The service's promise: signal and order are in its database. `seq` is the place of `signal.accepted`."""

    message: str
    info: str
    signal_id: str
    order_id: str
    status: str
    duplicate: bool
    seq: int
    trace_id: str
    signal: SignalView


class _Page(msgspec.Struct):
    items: list[OrderView]
    next_cursor: str | None


class Client:
    """Use it as `async with Client("http://127.0.0.1:8000", "shk_…") as client`. Every call may raise ClientError."""

    def __init__(self, url: str, api_key: str, *, timeout_s: float = 10.0) -> None:
        self._target = Target(url, api_key, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._target.http.aclose()

    async def send(
        self, text: str | bytes, *, idempotency_key: str | None = None, simulate: str | None = None
    ) -> Accepted:
        """Send a signal, as text or JSON. `Refused.problems` say what is wrong with one.

        With an `idempotency_key` it is sent again where no answer came, and makes one order however often that is.
        Without, a lost answer is `Unreachable` and `is_uncertain`: the signal may have been taken.
        """
        wanted = {"Idempotency-Key": idempotency_key, "X-SignalHub-Simulate": simulate}
        headers = {name: value for name, value in wanted.items() if value is not None}
        for pause_s in _PAUSES_S if idempotency_key else ():
            try:
                return await self._send(text, headers)
            except (Unreachable, Refused) as error:
                if isinstance(error, Refused) and not error.is_passing:
                    raise
                await asyncio.sleep(max(pause_s, getattr(error, "retry_after_s", 0.0)))
        return await self._send(text, headers)

    async def orders(self, *, status: str | None = None, symbol: str | None = None, limit: int = 50) -> list[OrderView]:
        """The newest orders first, up to `limit` of them."""
        found: list[OrderView] = []
        query = {name: text for name, text in (("status", status), ("symbol", symbol)) if text is not None}
        while len(found) < limit:
            query["limit"] = str(min(_PAGE, limit - len(found)))
            page = _decoded(await self._ask("GET", "/api/v1/orders", params=query), _Page)
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
        told: Callable[[bool], None] = lambda _: None,
    ) -> AsyncGenerator[Item, None]:
        """Follow the log without an end: each event once, in order, whatever breaks on the way.

        Begins after the event `after` (0: with the first; a cursor `<epoch>-<seq>`), or from now on. `types` are
        patterns such as `order.*`. Beside events there are `Reset` and `Gap`, which say that the state kept so far is
        not to be trusted, or that events are gone. `told` hears when a line is up (True) and when it is lost (False).
        """
        return follow(self._target, Position(after), ",".join(types), transport=transport, told=told)

    async def _send(self, text: str | bytes, headers: dict[str, str]) -> Accepted:
        content = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        headers = {"Content-Type": "text/plain; charset=utf-8", **headers}
        return _decoded(await self._ask("POST", "/api/v1/signals", content=content, headers=headers), Accepted)

    async def _ask(self, method: str, path: str, **rest: Any) -> bytes:  # noqa: ANN401 - handed through to httpx
        try:
            answer = await self._target.http.request(method, path, **rest)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._target.unreachable(error) from None
        if answer.status_code >= _FIRST_ERROR:
            raise refusal(answer.status_code, answer.content, answer.headers.get("retry-after"))
        return answer.content


def _decoded(body: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError:
        raise ClientError("What answers there is not this service.") from None
