"""Coming in and going out: by key, by the link that is good once, and by nobody else's page.

A sign-in link shows a button first and is spent by the button: what previews links in a chat or a mail would otherwise
have used it up before a person comes.
"""

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.response import Redirect

from signalhub.domain.errors import SignalHubError
from signalhub.web.house import house
from signalhub.web.rendering import page
from signalhub.web.session import SignedIn, check_form, check_own_page, sign_in, signed_in, signed_out

AnyRequest = Request[Any, Any, Any]

_OLD_LINK: Final = "This link was used already, or is too old. Sign in with an API key."


@get("/login")
async def confirm(token: str = "") -> Response[str]:
    return page("confirm.html", token=token) if token else sign_in_page()


@post("/login", status_code=303)
async def log_in(request: AnyRequest) -> Response[Any]:
    form = await _fields(request)
    try:
        check_own_page(request)
        cookie = await sign_in(house(request), key=form.get("key", "").strip(), ticket=form.get("token", ""))
    except SignalHubError as error:
        detail = _OLD_LINK if error.code == "bad_ticket" else error.detail
        return sign_in_page(detail, status=error.refusal.status)
    return Redirect("/", status_code=303, cookies=[cookie])


@post("/logout", status_code=303)
async def log_out(request: AnyRequest) -> Response[Any]:
    await form_of(request)
    return Redirect("/", status_code=303, cookies=signed_out())


def sign_in_page(
    detail: str = "", *, status: int = 200, is_out: bool = False, headers: dict[str, str] | None = None
) -> Response[str]:
    """`is_out`: it is certain that nobody is signed in, and other tabs are told."""
    return page("sign_in.html", status=status, headers=headers, detail=detail, is_out=is_out)


def signed_out_page(error: SignalHubError) -> Response[str]:
    """The session's key no longer opens anything, so its cookies may go."""
    answer = sign_in_page(error.detail, status=error.refusal.status, is_out=True)
    for cookie in signed_out():
        answer.set_cookie(cookie)
    return answer


async def form_of(request: AnyRequest) -> tuple[SignedIn, dict[str, str]]:
    """The form of one who is signed in. Raises `unauthenticated`, `bad_csrf`."""
    who = await signed_in(request)
    if who is None:
        raise SignalHubError("unauthenticated", "You are signed out. Sign in, then send it again.")
    form = await _fields(request)
    check_form(who, form.get("csrf", ""))
    return who, form


async def _fields(request: AnyRequest) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.form()).items()}


HANDLERS: Final = (confirm, log_in, log_out)
