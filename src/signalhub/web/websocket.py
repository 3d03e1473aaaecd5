"""`/ws/…`: follow the log over WebSocket, on the canonical path and on those of the older clients.

A socket is accepted before its credential is checked, because a close code can be sent to an open socket only.
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
from signalhub.streams import websocket_frames as frames
from signalhub.streams.account_channel import EventEncoder, OutgoingMessage
from signalhub.streams.subscription import Connection, Subscription, Transport, subscribe
from signalhub.web.auth import SESSION_COOKIE, authenticate_stream, check_origin, get_api_key
from signalhub.web.problems import STATUSES
from signalhub.web.request_context import get_raw_send, get_services

UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
TOO_MANY_STREAMS: Final = 4429
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
POLICY_VIOLATION: Final = 1008
MESSAGE_TOO_BIG: Final = 1009
TRY_AGAIN_LATER: Final = 1013

# A peer that is gone but can still be written to broke the framing rules: granian has answered a close of its own.
_CLOSE_CODES: Final = {"revoked": UNAUTHENTICATED, "too long": MESSAGE_TOO_BIG, "gone": PROTOCOL_ERROR}
_CLOSE_CODES_BY_STATUS: Final = {401: UNAUTHENTICATED, 403: FORBIDDEN, 429: TOO_MANY_STREAMS, 503: TRY_AGAIN_LATER}
_MAX_MESSAGE_CHARS: Final = 4096
"""Characters of a message from a client, which sends nothing but a key or a ping."""

_AUTHENTICATE_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 1.0
_jitter = SystemRandom()
_encode = msgspec.json.Encoder().encode

Socket = WebSocket[Any, Any, Any]


class _AuthenticateMessage(msgspec.Struct, tag="authenticate", tag_field="type"):
    api_key: str


class _ClientMessage(msgspec.Struct):
    type: str = ""


@websocket("/ws/stream")
async def follow(socket: Socket) -> None:
    """Follow the log: one event a text frame, or with `?batch=1` an array of events."""
    encode = frames.encode_batch if socket.query_params.get("batch") == "1" else frames.encode_single_events
    await _serve(socket, lambda _: encode, types=socket.query_params.get("types"))


@websocket("/ws/orders")
async def follow_legacy_orders(socket: Socket) -> None:
    await _serve(socket, frames.legacy_order_encoder, types="order.*", hello="Connected to real-time order updates.")


@websocket("/ws/orders/{user_id:str}")
async def follow_legacy_user_orders(socket: Socket, user_id: str) -> None:
    """Serve older clients that name the account in the path. It must be the credential's own."""
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
        principal = await _authenticate(socket, required_account_id)
        encode = encoder_factory(principal.account_id)
        await _stream_events(socket, principal, encode, event_filter.parse(types), hello)
    except SignalHubError as error:
        code = _CLOSE_CODES_BY_STATUS.get(STATUSES[error.code], POLICY_VIOLATION)
        await _send_close(socket, code, error.code)
    except (SQLAlchemyError, OSError, TimeoutError):
        await _send_close(socket, TRY_AGAIN_LATER, "unavailable")
    except WebSocketDisconnect:
        return


async def _authenticate(socket: Socket, required_account_id: str | None) -> Principal:
    has_credential = get_api_key(socket) or "ticket" in socket.query_params or SESSION_COOKIE in socket.cookies
    if not has_credential:
        principal = await _authenticate_by_message(socket)
    else:
        if get_api_key(socket) is None:
            check_origin(socket)
        principal = await authenticate_stream(socket)
    principal.require_scope(READ_ORDERS)
    if required_account_id is not None and required_account_id != principal.account_id:
        raise SignalHubError("missing_scope", "This is another account's stream.")
    return principal


async def _authenticate_by_message(socket: Socket) -> Principal:
    try:
        async with asyncio.timeout(_AUTHENTICATE_TIMEOUT_S):
            text = await socket.receive_data(mode="text")
        message = msgspec.json.decode(text, type=_AuthenticateMessage)
    except (TimeoutError, msgspec.MsgspecError):
        raise SignalHubError("unauthenticated") from None
    return await get_services(socket).authenticator.authenticate_key(message.api_key)


async def _stream_events(
    socket: Socket,
    principal: Principal,
    encode: EventEncoder,
    filter_: event_filter.EventFilter,
    hello: str | None,
) -> None:
    services = get_services(socket)
    subscription_manager = subscribe(
        services.relay,
        principal.account_id,
        socket.query_params.get("after"),
        event_filter=filter_,
        lifetime_s=services.settings.streams.lifetime_s * _jitter.uniform(0.8, 1.2),
    )
    transport = Transport("websocket", get_raw_send(socket.scope, socket.send), encode)
    async with services.connections.open(
        principal.account_id, principal.credential_id, transport, subscription_manager
    ) as connection:
        # granian does not raise when sending to a peer that is gone, so a receiver must always be waiting.
        receiver = asyncio.create_task(_receive_messages(socket, connection))
        try:
            heartbeat_s = services.settings.streams.heartbeat_s
            opening: list[msgspec.Struct] = list(control_events.build_opening(connection.subscription, heartbeat_s))
            if hello:
                opening[0] = frames.LegacyHello(hello)
            for event in opening:
                await connection.send([frames.to_message(_encode(event))])
            # The older clients know no heartbeat.
            heartbeat = None if hello else partial(_encode_heartbeat, connection.subscription)
            await connection.run(heartbeat_s, heartbeat)
        finally:
            receiver.cancel()
    end_reason = connection.subscription.end_reason or ""
    await connection.drain(_CLOSE_TIMEOUT_S)
    await _send_close(socket, _CLOSE_CODES.get(end_reason, GOING_AWAY), end_reason)


async def _receive_messages(socket: Socket, connection: Connection) -> None:
    """Answer pings until the peer disconnects, then end the stream."""
    try:
        while True:
            text = await socket.receive_data(mode="text")
            if len(text) > _MAX_MESSAGE_CHARS:
                connection.subscription.end("too long")
                continue
            with suppress(msgspec.MsgspecError):  # any other message is ignored
                if msgspec.json.decode(text, type=_ClientMessage).type == "ping":
                    # Through the connection: two writes at a time must not interleave.
                    await connection.send([frames.to_message(b'{"type":"pong"}')])
    except (WebSocketDisconnect, RuntimeError):
        connection.abort("gone")


def _encode_heartbeat(subscription: Subscription) -> OutgoingMessage:
    return frames.to_message(_encode(control_events.build_heartbeat(subscription)))


async def _send_close(socket: Socket, code: int, reason: str) -> None:
    """Send a close frame; give up after a second for a peer that does not read, and drop its connection with it.

    Sent to peers that are gone as well: granian closes a socket that nobody is writing to or reading from at that
    moment, and an abandoned write goes on for a moment longer. A socket that is merely left may stay open for good.
    """
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await get_raw_send(socket.scope, socket.send)({"type": "websocket.close", "code": code, "reason": reason})


ROUTES: Final = Router(
    "/", route_handlers=[follow, follow_legacy_orders, follow_legacy_user_orders, follow_legacy_rejections]
)
