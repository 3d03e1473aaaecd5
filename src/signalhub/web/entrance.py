"""Coming in and going out: by key, by the link that is good once, and by nobody else's page.

A sign-in link shows a button first and is spent by the button: what previews links in a chat or a mail would otherwise
have used it up before a person comes.
"""

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.response import Redirect

from signalhub.domain.errors import SignalHubError
from signalhub.web.house import get_services
from signalhub.web.rendering import render_page
from signalhub.web.session import (
    DashboardSession,
    check_fetch_site,
    check_form_token,
    expire_cookies,
    load_dashboard_session,
    sign_in,
)

AnyRequest = Request[Any, Any, Any]

_SPENT_LINK_MESSAGE: Final = "This link was used already, or is too old. Sign in with an API key."


@get("/login")
async def show_login(token: str = "") -> Response[str]:
    return render_page("confirm.html", token=token) if token else render_sign_in_page()


@post("/login", status_code=303)
async def log_in(request: AnyRequest) -> Response[Any]:
    form = await _read_form(request)
    try:
        check_fetch_site(request)
        cookie = await sign_in(get_services(request), key=form.get("key", "").strip(), ticket=form.get("token", ""))
    except SignalHubError as error:
        detail = _SPENT_LINK_MESSAGE if error.code == "bad_ticket" else error.detail
        return render_sign_in_page(detail, status=error.refusal.status)
    return Redirect("/", status_code=303, cookies=[cookie])


@post("/logout", status_code=303)
async def log_out(request: AnyRequest) -> Response[Any]:
    await read_session_form(request)
    return Redirect("/", status_code=303, cookies=expire_cookies())


def render_sign_in_page(
    detail: str = "", *, status: int = 200, is_signed_out: bool = False, headers: dict[str, str] | None = None
) -> Response[str]:
    """`is_out`: it is certain that nobody is signed in, and other tabs are told."""
    return render_page("sign_in.html", status=status, headers=headers, detail=detail, is_out=is_signed_out)


def render_signed_out_page(error: SignalHubError) -> Response[str]:
    """The session's key no longer opens anything, so its cookies may go."""
    answer = render_sign_in_page(error.detail, status=error.refusal.status, is_signed_out=True)
    for cookie in expire_cookies():
        answer.set_cookie(cookie)
    return answer


async def read_session_form(request: AnyRequest) -> tuple[DashboardSession, dict[str, str]]:
    """The form of one who is signed in. Raises `unauthenticated`, `bad_csrf`."""
    who = await load_dashboard_session(request)
    if who is None:
        raise SignalHubError("unauthenticated", "You are signed out. Sign in, then send it again.")
    form = await _read_form(request)
    check_form_token(who, form.get("csrf", ""))
    return who, form


async def _read_form(request: AnyRequest) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.form()).items()}


LOGIN_HANDLERS: Final = (show_login, log_in, log_out)
