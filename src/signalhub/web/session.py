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
from signalhub.web.callers import (
    SESSION_COOKIE,
    SESSION_TTL_S,
    STREAM_COOKIE,
    CookieSession,
    encrypt_session,
    read_session,
)
from signalhub.web.feeds import STREAM_PATH as STREAM_PATH
from signalhub.web.house import Services, get_services

_TRUSTED_FETCH_SITES: Final = frozenset({"same-origin", "none"})


class DashboardSession(msgspec.Struct, frozen=True):
    """Who looks at the page, and the token its forms must carry."""

    principal: Principal
    csrf: str


async def load_dashboard_session(request: Request[Any, Any, Any]) -> DashboardSession | None:
    """None without a session of ours. Raises the 401 that fits where the session's key no longer opens anything."""
    session = read_session(request, SESSION_COOKIE)
    if session is None:
        return None
    return DashboardSession(await get_services(request).authenticator.authenticate_key_id(session.key_id), session.csrf)


async def sign_in(services: Services, *, key: str = "", ticket: str = "") -> Cookie:
    """The cookie for a key, or for the ticket of a sign-in link, which is spent by this."""
    if ticket:
        key_id = await services.tickets.redeem(ticket, purpose=tokens.SIGN_IN_PREFIX)
        who = await services.authenticator.authenticate_key_id(key_id)
    else:
        who = await services.authenticator.authenticate_key(key)
    session = CookieSession(who.credential_id, os.urandom(16).hex())
    return Cookie(
        SESSION_COOKIE,
        value=encrypt_session(services, SESSION_COOKIE, session),
        path="/",
        max_age=SESSION_TTL_S,
        httponly=True,
        samesite="strict",
        secure=services.settings.base_url.startswith("https"),
    )


def expire_cookies() -> list[Cookie]:
    """What makes a browser forget the session, and the stream cookie that would outlive it."""
    return [
        Cookie(SESSION_COOKIE, value="", path="/", max_age=0, httponly=True, samesite="strict"),
        Cookie(STREAM_COOKIE, value="", path=STREAM_PATH, max_age=0, httponly=True, samesite="strict"),
    ]


def check_form_token(session: DashboardSession, csrf_token: str) -> None:
    """Raises `bad_csrf` unless `sent` is the session's token."""
    if not hmac.compare_digest(csrf_token.encode(), session.csrf.encode()):
        raise SignalHubError("bad_csrf", "This form is of an older session. Load the page again, then repeat it.")


def check_fetch_site(request: Request[Any, Any, Any]) -> None:
    """Nobody else's page may sign its visitor in here, to have him send his signals to a stranger's account."""
    if request.headers.get("sec-fetch-site", "none") not in _TRUSTED_FETCH_SITES:
        raise SignalHubError("bad_origin", "Signing in works from this service's own page only.")
