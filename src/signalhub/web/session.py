"""The dashboard's session: signing in and out, and the token that proves a form is our own.

Cookies are SameSite=Strict, so the first request that follows a link on another site comes without them: it looks
signed out and is not (`pages.live` asks once more from its own page).
"""

import hmac
import os
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.datastructures import Cookie

from signalhub.domain import tokens
from signalhub.domain.errors import SignalHubError
from signalhub.services.principal import Principal
from signalhub.web.callers import SESSION, SESSION_S, STREAM, Session, seal, session_of
from signalhub.web.feeds import PATH as STREAM_PATH
from signalhub.web.house import House, house

_OWN: Final = frozenset({"same-origin", "none"})


class SignedIn(msgspec.Struct, frozen=True):
    """Who looks at the page, and the token its forms must carry."""

    principal: Principal
    csrf: str


async def signed_in(request: Request[Any, Any, Any]) -> SignedIn | None:
    """None without a session of ours. Raises the 401 that fits where the session's key no longer opens anything."""
    session = session_of(request, SESSION)
    if session is None:
        return None
    return SignedIn(await house(request).keyring.key_id(session.key_id), session.csrf)


async def sign_in(found: House, *, key: str = "", ticket: str = "") -> Cookie:
    """The cookie for a key, or for the ticket of a sign-in link, which is spent by this."""
    if ticket:
        key_id = await found.tickets.spend(ticket, purpose=tokens.SIGN_IN)
        who = await found.keyring.key_id(key_id)
    else:
        who = await found.keyring.key(key)
    session = Session(who.credential_id, os.urandom(16).hex())
    return Cookie(
        SESSION,
        value=seal(found, SESSION, session),
        path="/",
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=found.settings.base_url.startswith("https"),
    )


def signed_out() -> list[Cookie]:
    """What makes a browser forget the session, and the stream cookie that would outlive it."""
    return [
        Cookie(SESSION, value="", path="/", max_age=0, httponly=True, samesite="strict"),
        Cookie(STREAM, value="", path=STREAM_PATH, max_age=0, httponly=True, samesite="strict"),
    ]


def check_form(who: SignedIn, sent: str) -> None:
    """Raises `bad_csrf` unless `sent` is the session's token."""
    if not hmac.compare_digest(sent.encode(), who.csrf.encode()):
        raise SignalHubError("bad_csrf", "This form is of an older session. Load the page again, then repeat it.")


def check_own_page(request: Request[Any, Any, Any]) -> None:
    """Nobody else's page may sign its visitor in here, to have him send his signals to a stranger's account."""
    if request.headers.get("sec-fetch-site", "none") not in _OWN:
        raise SignalHubError("bad_origin", "Signing in works from this service's own page only.")
