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
from signalhub.domain.events import EventCriteria
from signalhub.services.auth import READ_ORDERS, Principal
from signalhub.streams import control_events
from signalhub.streams import websocket_frames as frames
from signalhub.streams.account_channel import EventEncoder, OutgoingMessage
from signalhub.streams.event_filter import EventFilter, create_filter, select_types
from signalhub.streams.subscription import Connection, Subscription, Transport, subscribe
from signalhub.web.auth import SESSION_COOKIE, authenticate_stream, get_api_key
from signalhub.web.event_query import STREAM_PARAMETERS, get_cursor, read_criteria
from signalhub.web.origins import check_stream_origin
from signalhub.web.problems import STATUSES
from signalhub.web.request_context import get_cookie, get_query_parameter, get_raw_send, get_services
from signalhub.web.request_validation import check_query

UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
POLICY_VIOLATION: Final = 1008
MESSAGE_TOO_BIG: Final = 1009
TRY_AGAIN_LATER: Final = 1013

# A peer that is gone but can still be written to broke the framing rules: granian has answered a close of its own.
_CLOSE_CODES: Final = {
    "revoked": UNAUTHENTICATED,
    "too long": MESSAGE_TOO_BIG,
    "gone": PROTOCOL_ERROR,
    "replaced": TRY_AGAIN_LATER,
}
_CLOSE_CODES_BY_STATUS: Final = {401: UNAUTHENTICATED, 403: FORBIDDEN, 429: TRY_AGAIN_LATER, 503: TRY_AGAIN_LATER}
_MAX_MESSAGE_CHARS: Final = 4096
"""Characters of a message from a client, which sends nothing but a key or a ping."""

_LEGACY_PARAMETERS: Final = tuple(name for name in STREAM_PARAMETERS if name != "types")
_AUTHENTICATE_TIMEOUT_S: Final = 5
_AUTHENTICATE_NOTICE_DELAY_S: Final = 0.25
"""A client that sends its key at once gets no notice: the first frame of the older paths stays what it is."""

_CLOSE_TIMEOUT_S: Final = 1.0
_jitter = SystemRandom()
_encode = msgspec.json.Encoder().encode

Socket = WebSocket[Any, Any, Any]


class _AuthenticateNotice(msgspec.Struct, frozen=True, tag="authenticate", tag_field="type"):
    within_s: int


class _AuthenticateMessage(msgspec.Struct, tag="authenticate", tag_field="type"):
    api_key: str


class _ClientMessage(msgspec.Struct):
    type: str = ""


class LegacyPath(msgspec.Struct, frozen=True):
    """A path of the older clients: the event types it sends, its first message, and the account that it names."""

    types: str
    hello: str
    account_id: str | None = None


@websocket("/ws/stream", query_parameters=(*STREAM_PARAMETERS, "batch"))
async def follow(socket: Socket) -> None:
    """Follow the log: one event a text frame, or with `?batch=1` an array of events."""
    encode = frames.encode_batch if get_query_parameter(socket, "batch") == "1" else frames.encode_single_events
    await _serve(socket, lambda _: encode)


@websocket("/ws/orders", query_parameters=_LEGACY_PARAMETERS)
async def follow_legacy_orders(socket: Socket) -> None:
    await _serve(socket, frames.legacy_order_encoder, LegacyPath("order.*", "Connected to real-time order updates."))


@websocket("/ws/orders/{user_id:str}", query_parameters=_LEGACY_PARAMETERS)
async def follow_legacy_user_orders(socket: Socket, user_id: str) -> None:
    """Serve older clients that name the account in the path. It must be the credential's own."""
    path = LegacyPath("order.*", "Connected to real-time order updates.", account_id=user_id)
    await _serve(socket, frames.legacy_order_encoder, path)


@websocket("/ws/signals/invalid", query_parameters=_LEGACY_PARAMETERS)
async def follow_legacy_rejections(socket: Socket) -> None:
    await _serve(
        socket, frames.legacy_rejection_encoder, LegacyPath("signal.rejected", "Connected to refused signals.")
    )


async def _serve(
    socket: Socket, encoder_factory: Callable[[str], EventEncoder], legacy: LegacyPath | None = None
) -> None:
    await socket.accept()
    try:
        principal = await _authenticate(socket, legacy.account_id if legacy else None)
        event_filter = create_filter(await _read_criteria(socket, principal.account_id, legacy))
        encode = encoder_factory(principal.account_id)
        await _stream_events(socket, principal, encode, event_filter, legacy.hello if legacy else None)
    except WebSocketDisconnect:
        return
    except (SignalHubError, SQLAlchemyError, OSError, TimeoutError) as error:
        error_code = error.code if isinstance(error, SignalHubError) else "unavailable"
        close_code = _CLOSE_CODES_BY_STATUS.get(STATUSES[error_code], POLICY_VIOLATION)
        await _send_close(socket, close_code, error_code, None if legacy else control_events.build_refusal(error))


async def _authenticate(socket: Socket, required_account_id: str | None) -> Principal:
    if not has_credential(socket):
        principal = await _authenticate_by_message(socket)
    else:
        if get_api_key(socket) is None:
            check_stream_origin(socket)
        principal = await authenticate_stream(socket)
    principal.require_scope(READ_ORDERS)
    if required_account_id is not None and required_account_id != principal.account_id:
        raise SignalHubError("forbidden", "This is another account's stream.")
    return principal


def has_credential(socket: Socket) -> bool:
    """Return whether the request carries a credential, valid or not."""
    return bool(
        get_api_key(socket)
        or get_query_parameter(socket, "ticket") is not None
        or get_cookie(socket, SESSION_COOKIE) is not None
    )


async def _read_criteria(socket: Socket, account_id: str, legacy: LegacyPath | None) -> EventCriteria:
    check_query(socket)
    if socket.query_params.get("batch", "0") not in {"0", "1"}:
        raise SignalHubError("invalid_request", "batch is 0 or 1.")
    criteria = await read_criteria(socket, account_id)
    return msgspec.structs.replace(criteria, types=select_types([legacy.types])) if legacy else criteria


async def _authenticate_by_message(socket: Socket) -> Principal:
    receiving = asyncio.ensure_future(socket.receive_data(mode="text"))
    try:
        async with asyncio.timeout(_AUTHENTICATE_TIMEOUT_S):
            await asyncio.wait((receiving,), timeout=_AUTHENTICATE_NOTICE_DELAY_S)
            if not receiving.done():
                await socket.send_data(_encode(_AuthenticateNotice(_AUTHENTICATE_TIMEOUT_S)).decode())
            text = await receiving
        message = msgspec.json.decode(text, type=_AuthenticateMessage)
    except (TimeoutError, msgspec.MsgspecError):
        raise SignalHubError("unauthenticated") from None
    finally:
        receiving.cancel()
    return await get_services(socket).authenticator.authenticate_key(message.api_key)


async def _stream_events(
    socket: Socket,
    principal: Principal,
    encode: EventEncoder,
    event_filter: EventFilter,
    hello: str | None,
) -> None:
    services = get_services(socket)
    subscription_manager = subscribe(
        services.relay,
        principal.account_id,
        get_cursor(socket),
        event_filter=event_filter,
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
    last_event = control_events.build_replaced() if end_reason == "replaced" and hello is None else None
    await _send_close(socket, _CLOSE_CODES.get(end_reason, GOING_AWAY), end_reason, last_event)


async def _receive_messages(socket: Socket, connection: Connection) -> None:
    """Answer pings until the peer disconnects, then end the stream. Other messages are acknowledgements only."""
    try:
        while True:
            text = await socket.receive_data(mode="text")
            if len(text) > _MAX_MESSAGE_CHARS:
                connection.subscription.end("too long")
                continue
            type_ = _read_message_type(text)
            connection.acknowledge(is_answer=type_ == "pong")
            if type_ == "ping":
                # Through the connection: two writes at a time must not interleave.
                await connection.send([frames.to_message(b'{"type":"pong"}')])
    except (WebSocketDisconnect, RuntimeError):
        connection.abort("gone")


def _read_message_type(text: str) -> str:
    try:
        return msgspec.json.decode(text, type=_ClientMessage).type
    except msgspec.MsgspecError:
        return ""


def _encode_heartbeat(subscription: Subscription) -> OutgoingMessage:
    return frames.to_message(_encode(control_events.build_heartbeat(subscription)))


async def _send_close(
    socket: Socket, code: int, reason: str, last_event: control_events.ControlEvent | None = None
) -> None:
    """Send a close frame, after `last_event`.

    Give up after a second for a peer that does not read, and drop its connection with it.

    Sent to peers that are gone as well: granian closes a socket that nobody is writing to or reading from at that
    moment, and an abandoned write goes on for a moment longer. A socket that is merely left may stay open for good.
    """
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            send: Any = get_raw_send(socket.scope, socket.send)
            if last_event is not None:
                await send(frames.to_message(_encode(last_event)).asgi_message)
            await send({"type": "websocket.close", "code": code, "reason": reason})


ROUTES: Final = Router(
    "/", route_handlers=[follow, follow_legacy_orders, follow_legacy_user_orders, follow_legacy_rejections]
)
