"""`/ws/…`: the log over WebSocket, on the canonical path and on those of the older clients.

A socket is accepted first and asked for its credential after, because a close code can only be given to an open one.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import SystemRandom
from typing import Any, Final

import msgspec
from litestar import Router, WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from sqlalchemy.exc import SQLAlchemyError

from signalhub.domain.errors import SignalHubError
from signalhub.services.principal import READ_ORDERS, Principal
from signalhub.streams import filters, notices, sockets
from signalhub.streams.audience import Outlet
from signalhub.streams.channel import Dress, Parcel
from signalhub.streams.delivery import Delivery
from signalhub.streams.subscription import Subscription, subscribe
from signalhub.web import directly
from signalhub.web.callers import SESSION, check_origin, key_text, stream_caller
from signalhub.web.house import house

UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
TOO_MANY: Final = 4429
GOING_AWAY: Final = 1001
BROKEN_FRAMING: Final = 1002
TOO_LONG: Final = 1009
TRY_LATER: Final = 1013

# One who has gone and can still be told has broken the rules of framing: a goodbye of its own is answered already.
_ENDS: Final = {"revoked": UNAUTHENTICATED, "too long": TOO_LONG, "gone": BROKEN_FRAMING}
_LONGEST: Final = 4096
"""Characters of a message from a client, who has nothing to say but a key or a ping."""

_AUTHENTICATE_S: Final = 5.0
_FAREWELL_S: Final = 1.0
_jitter = SystemRandom()
_encode = msgspec.json.Encoder().encode

Socket = WebSocket[Any, Any, Any]


class _Authenticate(msgspec.Struct, tag="authenticate", tag_field="type"):
    api_key: str


class _Word(msgspec.Struct):
    type: str = ""


class Line:
    """One open socket: sends from two sides must not interleave, and the peer's going ends the subscription.

    granian does not raise when sending to a peer that has gone, so a receiver must always be listening.
    """

    def __init__(self, socket: Socket, outlet: Outlet) -> None:
        self._socket, self._outlet = socket, outlet

    async def send(self, text: bytes) -> None:
        await self._outlet.send(self._socket.send, [sockets.parcel(text)])

    async def listen(self) -> None:
        """Answer pings until the peer goes, then end the subscription."""
        try:
            while True:
                text = await self._socket.receive_data(mode="text")
                if len(text) > _LONGEST:
                    self._outlet.subscription.end("too long")
                elif _word(text) == "ping":
                    await self.send(b'{"type":"pong"}')
        except (WebSocketDisconnect, RuntimeError):
            self._outlet.cut("gone")


@websocket("/ws/stream")
async def follow(socket: Socket) -> None:
    """The log: one event a text frame, or with `?batch=1` an array of them."""
    dress = sockets.batched if socket.query_params.get("batch") == "1" else sockets.single
    await _serve(socket, lambda _: dress, types=socket.query_params.get("types"))


@websocket("/ws/orders")
async def legacy_orders(socket: Socket) -> None:
    await _serve(socket, sockets.legacy_orders, types="order.*", hello="Connected to real-time order updates.")


@websocket("/ws/orders/{user_id:str}")
async def legacy_user_orders(socket: Socket, user_id: str) -> None:
    """The older clients name the account in the path; it must be the credential's own."""
    await _serve(
        socket, sockets.legacy_orders, types="order.*", hello="Connected to real-time order updates.", owner=user_id
    )


@websocket("/ws/signals/invalid")
async def legacy_refusals(socket: Socket) -> None:
    await _serve(socket, sockets.legacy_refusals, types="signal.rejected", hello="Connected to refused signals.")


async def _serve(
    socket: Socket,
    dresser: Callable[[str], Dress],
    *,
    types: str | None,
    hello: str | None = None,
    owner: str | None = None,
) -> None:
    await socket.accept()
    try:
        who = await _admit(socket, owner)
        wanted = filters.parse(types)
        await _follow(socket, who, dresser(who.account_id), wanted, hello)
    except SignalHubError as error:
        await _close(socket, _close_code(error), error.code)
    except (SQLAlchemyError, OSError, TimeoutError):
        await _close(socket, TRY_LATER, "unavailable")
    except WebSocketDisconnect:
        return


async def _admit(socket: Socket, owner: str | None) -> Principal:
    has_credential = key_text(socket) or "ticket" in socket.query_params or SESSION in socket.cookies
    if not has_credential:
        who = await _by_first_message(socket)
    else:
        if key_text(socket) is None:
            check_origin(socket)
        who = await stream_caller(socket)
    who.need(READ_ORDERS)
    if owner is not None and owner != who.account_id:
        raise SignalHubError("missing_scope", "This is another account's stream.")
    return who


async def _by_first_message(socket: Socket) -> Principal:
    try:
        async with asyncio.timeout(_AUTHENTICATE_S):
            text = await socket.receive_data(mode="text")
        sent = msgspec.json.decode(text, type=_Authenticate)
    except (TimeoutError, msgspec.MsgspecError):
        raise SignalHubError("unauthenticated") from None
    return await house(socket).keyring.key(sent.api_key)


async def _follow(socket: Socket, who: Principal, dress: Dress, wanted: filters.Wanted, hello: str | None) -> None:
    found = house(socket)
    after = socket.query_params.get("after")
    lifetime_s = found.settings.stream_lifetime_s * _jitter.uniform(0.8, 1.2)
    subscribing = subscribe(found.relay, who.account_id, after, wanted=wanted, lifetime_s=lifetime_s)
    async with found.streams.seat(who.account_id, who.credential_id, "websocket", subscribing) as outlet:
        line = Line(socket, outlet)
        listener = asyncio.create_task(line.listen())
        try:
            await _open(line, outlet.subscription, hello)
            beat = None if hello else partial(_heartbeat, outlet.subscription)  # the older clients know none
            await Delivery(outlet, directly.send_of(socket.scope), dress).run(found.settings.heartbeat_s, beat)
        finally:
            listener.cancel()
    ended = outlet.subscription.ended or ""
    await outlet.drain(_FAREWELL_S)
    await _close(socket, _ENDS.get(ended, GOING_AWAY), ended)


async def _open(line: Line, subscription: Subscription, hello: str | None) -> None:
    opening = notices.opening(subscription)
    if hello:
        await line.send(_encode(sockets.LegacyHello(hello)))
        del opening[0]
    for notice in opening:
        await line.send(_encode(notice))


def _heartbeat(subscription: Subscription) -> Parcel:
    return sockets.parcel(_encode(notices.heartbeat(subscription)))


async def _close(socket: Socket, code: int, reason: str) -> None:
    """Say goodbye. Who does not read will not hear it: given up after a moment, it takes the connection with it.

    It is said to those who have gone, too. A socket that is merely left may stay open for good: granian closes those
    that nobody is writing to or reading from at that moment, and what was given up goes on for a moment longer.
    """
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async with asyncio.timeout(_FAREWELL_S):
            await directly.send_of(socket.scope)({"type": "websocket.close", "code": code, "reason": reason})


def _close_code(error: SignalHubError) -> int:
    if error.code == "too_many_streams":
        return TOO_MANY
    return {401: UNAUTHENTICATED, 403: FORBIDDEN, 503: TRY_LATER}.get(error.refusal.status, 1008)


def _word(text: str | bytes) -> str:
    try:
        return msgspec.json.decode(text, type=_Word).type
    except msgspec.MsgspecError:
        return ""


ROUTES: Final = Router("/", route_handlers=[follow, legacy_orders, legacy_user_orders, legacy_refusals])
