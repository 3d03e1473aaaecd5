"""Who is calling: by key header, by dashboard cookie, by ticket."""

import hmac
from typing import Final

import msgspec

from signalhub.domain import tokens
from signalhub.domain.errors import SignalHubError
from signalhub.services.principal import Principal
from signalhub.services.vault import EncryptionError
from signalhub.web.house import AnyConnection, Services, get_services
from signalhub.web.reading import get_header

SESSION_COOKIE: Final = "signalhub_session"
SESSION_TTL_S: Final = 7 * 86_400
STREAM_COOKIE: Final = "signalhub_stream"
STREAM_COOKIE_TTL_S: Final = 3_600
CSRF_HEADER: Final = "x-csrf-token"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class CookieSession(msgspec.Struct, frozen=True):
    """What a cookie holds, sealed: it names a key and is worth what the key is worth at that moment."""

    key_id: str
    csrf: str


async def authenticate(connection: "AnyConnection") -> Principal:
    """The account behind a request. Raises the 401 that fits, or `bad_csrf`."""
    text = get_api_key(connection)
    if text is not None:
        return await get_services(connection).authenticator.authenticate_key(text)
    session = read_session(connection, SESSION_COOKIE)
    if session is None:
        raise SignalHubError("unauthenticated", "Send an API key as X-API-Key or as Authorization: Bearer.")
    if connection.scope.get("method", "GET") not in _SAFE_METHODS:
        _check_csrf_header(connection, session)
    return await get_services(connection).authenticator.authenticate_key_id(session.key_id)


async def authenticate_stream(connection: "AnyConnection") -> Principal:
    """The same for a stream, which may also come with a ticket, or with the cookie that a ticket left behind."""
    found = get_services(connection)
    ticket = connection.query_params.get("ticket")
    if ticket is None or get_api_key(connection) is not None:
        return (
            await authenticate(connection)
            if not _has_stream_cookie(connection)
            else await _authenticate_by_stream_cookie(connection)
        )
    try:
        return await found.authenticator.authenticate_key_id(
            await found.tickets.redeem(ticket, purpose=tokens.TICKET_PREFIX)
        )
    except SignalHubError as error:
        # A browser that reconnects by itself sends the spent ticket again; its cookie speaks for it then.
        if error.code != "bad_ticket" or read_session(connection, STREAM_COOKIE) is None:
            raise
        return await _authenticate_by_stream_cookie(connection)


def get_api_key(connection: "AnyConnection") -> str | None:
    found = get_header(connection, b"x-api-key")
    if found is not None:
        return found.strip()
    scheme, _, text = (get_header(connection, b"authorization") or "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def encrypt_session(services: Services, cookie_name: str, session: CookieSession) -> str:
    return services.encryption.encrypt(cookie_name, f"{session.key_id}/{session.csrf}").decode()


def read_session(connection: "AnyConnection", cookie_name: str) -> CookieSession | None:
    """What the cookie `name` says; None where there is none or it is not ours."""
    text = connection.cookies.get(cookie_name)
    if not text:
        return None
    max_age_s = STREAM_COOKIE_TTL_S if cookie_name == STREAM_COOKIE else SESSION_TTL_S
    try:
        opened = get_services(connection).encryption.decrypt(cookie_name, text.encode(), max_age_s=max_age_s)
    except (EncryptionError, UnicodeEncodeError):
        return None
    key_id, _, csrf = opened.partition("/")
    return CookieSession(key_id, csrf)


def check_origin(connection: "AnyConnection") -> None:
    """A page of another origin must not ride on our cookies (browsers send them with a WebSocket from anywhere)."""
    origin = connection.headers.get("origin")
    settings = get_services(connection).settings
    own = {settings.base_url, f"http://{connection.headers.get('host')}", f"https://{connection.headers.get('host')}"}
    if origin is not None and origin not in own | set(settings.allowed_origins):
        raise SignalHubError("bad_origin", "Streams with cookies open from the service's own pages only.")


def _has_stream_cookie(connection: "AnyConnection") -> bool:
    is_keyed = get_api_key(connection) is not None or SESSION_COOKIE in connection.cookies
    return not is_keyed and read_session(connection, STREAM_COOKIE) is not None


async def _authenticate_by_stream_cookie(connection: "AnyConnection") -> Principal:
    session = read_session(connection, STREAM_COOKIE)
    if session is None:
        raise SignalHubError("bad_ticket")
    return await get_services(connection).authenticator.authenticate_key_id(session.key_id)


def _check_csrf_header(connection: "AnyConnection", session: CookieSession) -> None:
    sent = connection.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(sent.encode(), session.csrf.encode()):
        raise SignalHubError("bad_csrf", "Send the session's CSRF token as X-CSRF-Token.")
