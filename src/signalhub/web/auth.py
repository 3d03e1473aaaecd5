"""Authentication by key header, dashboard cookie or ticket, and the dashboard's sessions with their CSRF tokens.

Cookies are SameSite=Strict, so the first request that follows a link on another site comes without them: it looks
signed out and is not (`dashboard.show_dashboard` loads the page once more from its own origin).

`DEPENDENCIES` is what Litestar injects into handlers that declare it. Hot routes call `authenticate` themselves.
"""

import asyncio
import hmac
import os
from typing import Final, cast

import msgspec
from litestar import Request
from litestar.datastructures import Cookie
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from signalhub.container import Services
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError
from signalhub.services.auth import Principal
from signalhub.services.encryption import EncryptionError
from signalhub.web.origins import check_own_page
from signalhub.web.request_context import (
    AnyConnection,
    AnyRequest,
    get_context,
    get_cookie,
    get_header,
    get_query_parameter,
    get_services,
)

STREAM_PATH: Final = "/api/v1/stream"
SESSION_COOKIE: Final = "signalhub_session"
SESSION_TTL_S: Final = 7 * 86_400
STREAM_COOKIE: Final = "signalhub_stream"
STREAM_COOKIE_TTL_S: Final = 3_600
CSRF_HEADER: Final = "x-csrf-token"
_STREAM_AUTHENTICATION_TIMEOUT_S: Final = 1.5
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class CookieSession(msgspec.Struct, frozen=True):
    """The content of an encrypted cookie: it names a key, and gives the access that the key gives at that moment."""

    key_id: str
    csrf: str


def require_scope(scope: str) -> Guard:
    """Return a guard: authenticate the caller and check its scope. Guards run before anything else is validated.

    A guard, as Litestar's metrics see the status of an error raised in one; that of a middleware passes them by.
    """

    async def authorize(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
        principal = await authenticate(connection)
        get_context(connection.scope).account_id = principal.account_id
        connection.scope["user"] = principal.require_scope(scope)

    return authorize


async def authenticate(connection: "AnyConnection") -> Principal:
    """Return the caller, by key or by dashboard session. Raises the 401 that fits, `bad_origin` or `bad_csrf`."""
    text = get_api_key(connection)
    if text is not None:
        return await get_services(connection).authenticator.authenticate_key(text)
    session = read_session(connection, SESSION_COOKIE)
    if session is None:
        raise SignalHubError("unauthenticated", "Send an API key as X-API-Key or as Authorization: Bearer.")
    # A socket has no method; `check_stream_origin` protects it.
    if connection.scope.get("method", "GET") not in SAFE_METHODS:
        check_own_page(connection)
        token = connection.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(token.encode(), session.csrf.encode()):
            raise SignalHubError("bad_csrf", "Send the session's CSRF token as X-CSRF-Token.")
    return await get_services(connection).authenticator.authenticate_key_id(session.key_id)


async def authenticate_stream(connection: "AnyConnection") -> Principal:
    """Return the caller of a stream, which may also come with a ticket, or with the cookie that a ticket left.

    Raises TimeoutError if the database does not answer in time.
    """
    async with asyncio.timeout(_STREAM_AUTHENTICATION_TIMEOUT_S):
        return await _authenticate_stream(connection)


async def _authenticate_stream(connection: "AnyConnection") -> Principal:
    ticket, is_keyed = get_query_parameter(connection, "ticket"), get_api_key(connection) is not None
    stream_session = read_session(connection, STREAM_COOKIE)
    if ticket is not None and not is_keyed:
        try:
            return await _redeem_ticket(connection, ticket)
        except SignalHubError as error:
            # A browser that reconnects by itself sends the spent ticket again; its cookie counts then.
            if error.code != "bad_ticket" or stream_session is None:
                raise
    elif is_keyed or get_cookie(connection, SESSION_COOKIE) is not None or stream_session is None:
        return await authenticate(connection)
    return await get_services(connection).authenticator.authenticate_key_id(stream_session.key_id)


async def _redeem_ticket(connection: "AnyConnection", ticket: str) -> Principal:
    """Return the ticket's owner and spend the ticket, last of all: a failure before that leaves it valid."""
    services, purpose = get_services(connection), identifiers.TICKET_PREFIX
    key_id = await services.tickets.redeem(ticket, purpose=purpose, keep=True)
    principal = await services.authenticator.authenticate_key_id(key_id)
    if get_context(connection.scope).method != "HEAD":  # it opens no stream
        await services.tickets.redeem(ticket, purpose=purpose)
    return principal


def get_api_key(connection: "AnyConnection") -> str | None:
    key = get_header(connection, b"x-api-key")
    if key is not None:
        return key.strip()
    scheme, _, text = (get_header(connection, b"authorization") or "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def create_session_cookie(services: Services, cookie_name: str, key_id: str) -> Cookie:
    """Create the cookie `SESSION_COOKIE` or `STREAM_COOKIE` for a key, with a new CSRF token."""
    is_stream = cookie_name == STREAM_COOKIE
    text = services.encryption.encrypt(cookie_name, f"{key_id}/{os.urandom(16).hex()}").decode()
    return Cookie(
        cookie_name,
        value=text,
        path=STREAM_PATH if is_stream else "/",
        max_age=STREAM_COOKIE_TTL_S if is_stream else SESSION_TTL_S,
        httponly=True,
        samesite="strict",
        secure=services.settings.web.base_url.startswith("https"),
    )


def read_session(connection: "AnyConnection", cookie_name: str) -> CookieSession | None:
    """Return the session in a cookie, or None without a cookie that this service has encrypted."""
    text = get_cookie(connection, cookie_name)
    if not text:
        return None
    max_age_s = STREAM_COOKIE_TTL_S if cookie_name == STREAM_COOKIE else SESSION_TTL_S
    try:
        content = get_services(connection).encryption.decrypt(cookie_name, text.encode(), max_age_s=max_age_s)
    except (EncryptionError, UnicodeEncodeError):
        return None
    key_id, _, csrf = content.partition("/")
    return CookieSession(key_id, csrf)


class DashboardSession(msgspec.Struct, frozen=True):
    """The caller of a page, and the token that its forms must carry."""

    principal: Principal
    csrf: str


async def load_dashboard_session(request: AnyRequest) -> DashboardSession | None:
    """Return the session, or None without one. Raises the 401 that fits if the session's key is no longer valid."""
    session = read_session(request, SESSION_COOKIE)
    if session is None:
        return None
    return DashboardSession(await get_services(request).authenticator.authenticate_key_id(session.key_id), session.csrf)


async def sign_in(services: Services, *, key: str = "", ticket: str = "") -> Cookie:
    """Return the session cookie for a key, or for the ticket of a sign-in link, which this redeems."""
    if ticket:
        key_id = await services.tickets.redeem(ticket, purpose=identifiers.SIGN_IN_PREFIX)
        principal = await services.authenticator.authenticate_key_id(key_id)
    else:
        principal = await services.authenticator.authenticate_key(key)
    return create_session_cookie(services, SESSION_COOKIE, principal.credential_id)


def expire_cookies() -> list[Cookie]:
    """Return cookies that make a browser delete the session, and the stream cookie that would outlive it."""
    return [
        Cookie(SESSION_COOKIE, value="", path="/", max_age=0, httponly=True, samesite="strict"),
        Cookie(STREAM_COOKIE, value="", path=STREAM_PATH, max_age=0, httponly=True, samesite="strict"),
    ]


def check_form_token(session: DashboardSession, csrf_token: str) -> None:
    """Raise `bad_csrf` unless `csrf_token` is the session's token."""
    if not hmac.compare_digest(csrf_token.encode(), session.csrf.encode()):
        raise SignalHubError("bad_csrf", "This form is of an older session. Load the page again, then repeat it.")


def provide_services(request: Request) -> Services:  # type: ignore[type-arg]  # Litestar reads the annotation at run time
    return get_services(request)


def provide_principal(request: Request) -> Principal:  # type: ignore[type-arg]  # as above
    """Return the caller that the guard of `require_scope` has authenticated."""
    return cast("Principal", request.user)


# Litestar wants a dependency marked as one.
AppServices = NamedDependency[Services]
Caller = NamedDependency[Principal]

DEPENDENCIES: Final = {
    "services": Provide(provide_services, sync_to_thread=False),
    "principal": Provide(provide_principal, sync_to_thread=False),
}
