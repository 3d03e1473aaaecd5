"""Who is calling: by key header, by dashboard cookie, by ticket."""

import hmac
from typing import Final

import msgspec

from signalhub.domain import tokens
from signalhub.domain.errors import SignalHubError
from signalhub.services.principal import Principal
from signalhub.services.vault import VaultError
from signalhub.web.house import AnyConnection, House, house
from signalhub.web.reading import header

SESSION: Final = "signalhub_session"
SESSION_S: Final = 7 * 86_400
STREAM: Final = "signalhub_stream"
STREAM_S: Final = 3_600
CSRF: Final = "x-csrf-token"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Session(msgspec.Struct, frozen=True):
    """What a cookie holds, sealed: it names a key and is worth what the key is worth at that moment."""

    key_id: str
    csrf: str


async def caller(connection: "AnyConnection") -> Principal:
    """The account behind a request. Raises the 401 that fits, or `bad_csrf`."""
    text = key_text(connection)
    if text is not None:
        return await house(connection).keyring.key(text)
    session = session_of(connection, SESSION)
    if session is None:
        raise SignalHubError("unauthenticated", "Send an API key as X-API-Key or as Authorization: Bearer.")
    if connection.scope.get("method", "GET") not in _SAFE:
        _check_csrf(connection, session)
    return await house(connection).keyring.key_id(session.key_id)


async def stream_caller(connection: "AnyConnection") -> Principal:
    """The same for a stream, which may also come with a ticket, or with the cookie that a ticket left behind."""
    found = house(connection)
    ticket = connection.query_params.get("ticket")
    if ticket is None or key_text(connection) is not None:
        return await caller(connection) if not _has_stream_cookie(connection) else await _by_cookie(connection)
    try:
        return await found.keyring.key_id(await found.tickets.spend(ticket, purpose=tokens.TICKET))
    except SignalHubError as error:
        # A browser that reconnects by itself sends the spent ticket again; its cookie speaks for it then.
        if error.code != "bad_ticket" or session_of(connection, STREAM) is None:
            raise
        return await _by_cookie(connection)


def key_text(connection: "AnyConnection") -> str | None:
    found = header(connection, b"x-api-key")
    if found is not None:
        return found.strip()
    scheme, _, text = (header(connection, b"authorization") or "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def seal(found: House, name: str, session: Session) -> str:
    return found.vault.seal(name, f"{session.key_id}/{session.csrf}").decode()


def session_of(connection: "AnyConnection", name: str) -> Session | None:
    """What the cookie `name` says; None where there is none or it is not ours."""
    text = connection.cookies.get(name)
    if not text:
        return None
    max_age_s = STREAM_S if name == STREAM else SESSION_S
    try:
        opened = house(connection).vault.open(name, text.encode(), max_age_s=max_age_s)
    except (VaultError, UnicodeEncodeError):
        return None
    key_id, _, csrf = opened.partition("/")
    return Session(key_id, csrf)


def check_origin(connection: "AnyConnection") -> None:
    """A page of another origin must not ride on our cookies (browsers send them with a WebSocket from anywhere)."""
    origin = connection.headers.get("origin")
    settings = house(connection).settings
    own = {settings.base_url, f"http://{connection.headers.get('host')}", f"https://{connection.headers.get('host')}"}
    if origin is not None and origin not in own | set(settings.allowed_origins):
        raise SignalHubError("bad_origin", "Streams with cookies open from the service's own pages only.")


def _has_stream_cookie(connection: "AnyConnection") -> bool:
    is_keyed = key_text(connection) is not None or SESSION in connection.cookies
    return not is_keyed and session_of(connection, STREAM) is not None


async def _by_cookie(connection: "AnyConnection") -> Principal:
    session = session_of(connection, STREAM)
    if session is None:
        raise SignalHubError("bad_ticket")
    return await house(connection).keyring.key_id(session.key_id)


def _check_csrf(connection: "AnyConnection", session: Session) -> None:
    sent = connection.headers.get(CSRF, "")
    if not hmac.compare_digest(sent.encode(), session.csrf.encode()):
        raise SignalHubError("bad_csrf", "Send the session's CSRF token as X-CSRF-Token.")
