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
from signalhub.services.auth import READ_ORDERS, Principal
from signalhub.streams import control_events, event_filter
from signalhub.streams import websocket as frames
from signalhub.streams.channel import EventEncoder, OutgoingMessage
from signalhub.streams.connections import Connection, ConnectionWriter
from signalhub.streams.plugin import get_raw_send
from signalhub.streams.subscription import Subscription, subscribe
from signalhub.web.auth import SESSION_COOKIE, authenticate_stream, check_origin, get_api_key
from signalhub.web.dependencies import get_services
from signalhub.web.problems import STATUSES

UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
TOO_MANY_STREAMS: Final = 4429
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
MESSAGE_TOO_BIG: Final = 1009
TRY_AGAIN_LATER: Final = 1013

# One who has gone and can still be told has broken the rules of framing: a goodbye of its own is answered already.
_CLOSE_CODES: Final = {"revoked": UNAUTHENTICATED, "too long": MESSAGE_TOO_BIG, "gone": PROTOCOL_ERROR}
_MAX_MESSAGE_CHARS: Final = 4096
"""Characters of a message from a client, who has nothing to say but a key or a ping."""

_AUTHENTICATE_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 1.0
_jitter = SystemRandom()
_encode = msgspec.json.Encoder().encode

Socket = WebSocket[Any, Any, Any]


class _AuthenticateMessage(msgspec.Struct, tag="authenticate", tag_field="type"):
    api_key: str


class _ClientMessage(msgspec.Struct):
    type: str = ""


class ClientSocket:
    """One open socket: sends from two sides must not interleave, and the peer's going ends the subscription.

    granian does not raise when sending to a peer that has gone, so a receiver must always be listening.
    """

    def __init__(self, socket: Socket, connection: Connection) -> None:
        self._socket, self._connection = socket, connection

    async def send(self, text: bytes) -> None:
        await self._connection.send(self._socket.send, [frames.to_message(text)])

    async def receive_messages(self) -> None:
        """Answer pings until the peer goes, then end the subscription."""
        try:
            while True:
                text = await self._socket.receive_data(mode="text")
                if len(text) > _MAX_MESSAGE_CHARS:
                    self._connection.subscription.end("too long")
                elif _message_type(text) == "ping":
                    await self.send(b'{"type":"pong"}')
        except (WebSocketDisconnect, RuntimeError):
            self._connection.abort("gone")


@websocket("/ws/stream")
async def follow(socket: Socket) -> None:
    """The log: one event a text frame, or with `?batch=1` an array of them."""
    dress = frames.encode_batch if socket.query_params.get("batch") == "1" else frames.encode_single_events
    await _serve(socket, lambda _: dress, types=socket.query_params.get("types"))


@websocket("/ws/orders")
async def follow_legacy_orders(socket: Socket) -> None:
    await _serve(socket, frames.legacy_order_encoder, types="order.*", hello="Connected to real-time order updates.")


@websocket("/ws/orders/{user_id:str}")
async def follow_legacy_user_orders(socket: Socket, user_id: str) -> None:
    """The older clients name the account in the path; it must be the credential's own."""
    await _serve(
        socket,
        frames.legacy_order_encoder,
        types="order.*",
        hello="Connected to real-time order updates.",
        required_account_id=user_id,
    )


@websocket("/ws/signals/invalid")
async def follow_legacy_rejections(socket: Socket) -> None:
    await _serve(
        socket, frames.legacy_rejection_encoder, types="signal.rejected", hello="Connected to refused signals."
    )


async def _serve(
    socket: Socket,
    encoder_factory: Callable[[str], EventEncoder],
    *,
    types: str | None,
    hello: str | None = None,
    required_account_id: str | None = None,
) -> None:
    await socket.accept()
    try:
        who = await _authenticate(socket, required_account_id)
        wanted = event_filter.parse(types)
        await _stream_events(socket, who, encoder_factory(who.account_id), wanted, hello)
    except SignalHubError as error:
        await _send_close(socket, _to_close_code(error), error.code)
    except (SQLAlchemyError, OSError, TimeoutError):
        await _send_close(socket, TRY_AGAIN_LATER, "unavailable")
    except WebSocketDisconnect:
        return


async def _authenticate(socket: Socket, required_account_id: str | None) -> Principal:
    has_credential = get_api_key(socket) or "ticket" in socket.query_params or SESSION_COOKIE in socket.cookies
    if not has_credential:
        who = await _authenticate_by_message(socket)
    else:
        if get_api_key(socket) is None:
            check_origin(socket)
        who = await authenticate_stream(socket)
    who.require_scope(READ_ORDERS)
    if required_account_id is not None and required_account_id != who.account_id:
        raise SignalHubError("missing_scope", "This is another account's stream.")
    return who


async def _authenticate_by_message(socket: Socket) -> Principal:
    try:
        async with asyncio.timeout(_AUTHENTICATE_TIMEOUT_S):
            text = await socket.receive_data(mode="text")
        sent = msgspec.json.decode(text, type=_AuthenticateMessage)
    except (TimeoutError, msgspec.MsgspecError):
        raise SignalHubError("unauthenticated") from None
    return await get_services(socket).authenticator.authenticate_key(sent.api_key)


async def _stream_events(
    socket: Socket,
    principal: Principal,
    encoder: EventEncoder,
    event_filter: event_filter.EventFilter,
    hello: str | None,
) -> None:
    found = get_services(socket)
    after = socket.query_params.get("after")
    lifetime_s = found.settings.streams.lifetime_s * _jitter.uniform(0.8, 1.2)
    subscribing = subscribe(found.relay, principal.account_id, after, event_filter=event_filter, lifetime_s=lifetime_s)
    async with found.connections.open(
        principal.account_id, principal.credential_id, "websocket", subscribing
    ) as outlet:
        line = ClientSocket(socket, outlet)
        listener = asyncio.create_task(line.receive_messages())
        try:
            await _send_opening(line, outlet.subscription, hello)
            beat = None if hello else partial(_encode_heartbeat, outlet.subscription)  # the older clients know none
            await ConnectionWriter(outlet, get_raw_send(socket.scope, socket.send), encoder).run(
                found.settings.streams.heartbeat_s, beat
            )
        finally:
            listener.cancel()
    ended = outlet.subscription.end_reason or ""
    await outlet.drain(_CLOSE_TIMEOUT_S)
    await _send_close(socket, _CLOSE_CODES.get(ended, GOING_AWAY), ended)


async def _send_opening(client: ClientSocket, subscription: Subscription, hello: str | None) -> None:
    opening = control_events.build_opening(subscription)
    if hello:
        await client.send(_encode(frames.LegacyHello(hello)))
        del opening[0]
    for notice in opening:
        await client.send(_encode(notice))


def _encode_heartbeat(subscription: Subscription) -> OutgoingMessage:
    return frames.to_message(_encode(control_events.build_heartbeat(subscription)))


async def _send_close(socket: Socket, code: int, reason: str) -> None:
    """Say goodbye. Who does not read will not hear it: given up after a moment, it takes the connection with it.

    It is said to those who have gone, too. A socket that is merely left may stay open for good: granian closes those
    that nobody is writing to or reading from at that moment, and what was given up goes on for a moment longer.
    """
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await get_raw_send(socket.scope, socket.send)({"type": "websocket.close", "code": code, "reason": reason})


def _to_close_code(error: SignalHubError) -> int:
    if error.code == "too_many_streams":
        return TOO_MANY_STREAMS
    return {401: UNAUTHENTICATED, 403: FORBIDDEN, 503: TRY_AGAIN_LATER}.get(STATUSES[error.code], 1008)


def _message_type(text: str | bytes) -> str:
    try:
        return msgspec.json.decode(text, type=_ClientMessage).type
    except msgspec.MsgspecError:
        return ""


ROUTES: Final = Router(
    "/", route_handlers=[follow, follow_legacy_orders, follow_legacy_user_orders, follow_legacy_rejections]
)
