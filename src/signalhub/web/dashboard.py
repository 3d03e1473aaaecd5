"""The dashboard: sign in and out, send a signal, follow orders, read the error codes. It works without script.

A sign-in link shows a button, and the button redeems the ticket: a link preview in a chat or mail would otherwise
use it up before a person opens it.
"""

import os
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Response, Router, get, post
from litestar.response import Redirect
from sqlalchemy.exc import SQLAlchemyError

from signalhub.domain.errors import ERRORS, GRAMMAR_ERRORS, SERVICE_ERRORS, Problem, SignalHubError
from signalhub.domain.events import OrderView, to_order_view
from signalhub.services.auth import READ_ORDERS, WRITE_SIGNALS
from signalhub.services.queries import Filters, StoredSignal
from signalhub.web import signals, templates
from signalhub.web.asgi import AnyRequest, get_context, get_services
from signalhub.web.auth import (
    SESSION_COOKIE,
    DashboardSession,
    check_fetch_site,
    check_form_token,
    expire_cookies,
    load_dashboard_session,
    sign_in,
)
from signalhub.web.problems import STATUSES
from signalhub.web.templates import render_page

_LINE_BREAK: Final = re.compile("\r\n|[\n\r\u2028\u2029]")


class ProblemExcerpt(msgspec.Struct, frozen=True, kw_only=True):
    """`before`, `marked` and `after` are one line of the text; all are empty if the problem is in no one place.

    `static/faults.js` computes the same in the browser; the two must agree on lines and columns.
    """

    code: str
    title: str
    hint: str
    line: int
    column: int
    before: str = ""
    marked: str = ""
    after: str = ""


def excerpt_problems(text: str, problems: Sequence[Problem]) -> list[ProblemExcerpt]:
    lines = _LINE_BREAK.split(text)
    return [_excerpt_problem(lines, problem) for problem in problems]


def _excerpt_problem(lines: list[str], problem: Problem) -> ProblemExcerpt:
    line = lines[problem.line - 1] if problem.line <= len(lines) else ""
    begin, end = problem.column - 1, problem.column - 1 + problem.length
    # In a JSON wrapper positions are those of the inner text, which is not the one shown.
    is_here = problem.length > 0 and line[begin:end] == problem.text
    return ProblemExcerpt(
        code=problem.code,
        title=ERRORS[problem.code].title,
        hint=problem.hint,
        line=problem.line,
        column=problem.column,
        before=line[:begin] if is_here else "",
        marked=problem.text,
        after=line[end:] if is_here else "",
    )


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
        return render_sign_in_page(detail, status=STATUSES[error.code])
    return Redirect("/", status_code=303, cookies=[cookie])


@post("/logout", status_code=303)
async def log_out(request: AnyRequest) -> Response[Any]:
    await read_session_form(request)
    return Redirect("/", status_code=303, cookies=expire_cookies())


def render_sign_in_page(
    detail: str = "", *, status: int = 200, is_signed_out: bool = False, headers: dict[str, str] | None = None
) -> Response[str]:
    """Render the sign-in page. With `is_signed_out` its script tells other tabs that nobody is signed in."""
    return render_page("sign_in.html", status=status, headers=headers, detail=detail, is_out=is_signed_out)


def render_signed_out_page(error: SignalHubError) -> Response[str]:
    """Render the sign-in page and delete the cookies: the session's key is no longer valid."""
    answer = render_sign_in_page(error.detail, status=STATUSES[error.code], is_signed_out=True)
    for cookie in expire_cookies():
        answer.set_cookie(cookie)
    return answer


async def read_session_form(request: AnyRequest) -> tuple[DashboardSession, dict[str, str]]:
    """Return the session and the form sent in it. Raises `unauthenticated`, `bad_csrf`."""
    who = await load_dashboard_session(request)
    if who is None:
        raise SignalHubError("unauthenticated", "You are signed out. Sign in, then send it again.")
    form = await _read_form(request)
    check_form_token(who, form.get("csrf", ""))
    return who, form


async def _read_form(request: AnyRequest) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.form()).items()}


LOGIN_HANDLERS: Final = (show_login, log_in, log_out)


MAX_SHOWN_ORDERS: Final = 50
MAX_SHOWN_REJECTIONS: Final = 10


# Empty items of the <template> elements, which the scripts copy and fill in.
_BLANK_ITEMS: Final = {
    "order": dict.fromkeys(OrderView.__struct_fields__, "") | {"take_profits": (), "pnl": None},
    "fault": ProblemExcerpt(code="", title="", hint="", line=0, column=0),
    "refusal": {"id": "", "received_at": "", "raw": "", "faults": ()},
}


class ComposerState(msgspec.Struct, frozen=True, kw_only=True):
    """The text in the form and the result of sending it. `key` makes a second click, or a resend, no second order."""

    text: str = ""
    key: str = ""
    said: str = ""
    faults: list[ProblemExcerpt] = []


class RejectionView(msgspec.Struct, frozen=True):
    id: str
    received_at: str
    raw: str
    faults: list[ProblemExcerpt]


@get("/")
async def show_dashboard(request: AnyRequest, sent: str = "") -> Response[Any]:
    try:
        who = await load_dashboard_session(request)
    except SignalHubError as error:
        if STATUSES[error.code] != 401:  # noqa: PLR2004 - an outage signs nobody out
            raise
        return render_signed_out_page(error)
    if who is not None:
        return await _render_dashboard(request, who, ComposerState(said=await _describe_sent_order(request, who, sent)))
    if request.headers.get("sec-fetch-site") == "cross-site" and SESSION_COOKIE not in request.cookies:
        # A link on another site brought us here, so Strict cookies stayed behind; our own page's request has them.
        return render_sign_in_page(headers={"Refresh": "0; url=/"})
    return render_sign_in_page(is_signed_out=True)


@post("/send", status_code=303)
async def submit_signal_form(request: AnyRequest) -> Response[Any]:
    """Send the form's text where no script does."""
    who, form = await read_session_form(request)
    who.principal.require_scope(WRITE_SIGNALS)
    text, key = form.get("text", ""), form.get("key", "")
    try:
        answer = await signals.ingest_signal(request, who.principal, text.encode(), idempotency_key=key or None)
    except SignalHubError as error:
        faults = excerpt_problems(text, error.problems)
        said = "" if faults else error.detail
        written = ComposerState(text=text, key=key, faults=faults, said=said)
        return await _render_dashboard(request, who, written, status=STATUSES[error.code])
    return Redirect(f"/?sent={answer.order_id}", status_code=303)


@get("/docs/errors")
async def show_errors() -> Response[str]:
    return render_page(
        "errors.html",
        groups={"Rejected texts": GRAMMAR_ERRORS, "Rejected requests": SERVICE_ERRORS},
        statuses=STATUSES,
    )


async def _render_dashboard(
    request: AnyRequest, session: DashboardSession, composer: ComposerState, status: int = 200
) -> Response[str]:
    may_read = READ_ORDERS in session.principal.scopes
    # Before the orders: what happens in between is then on the stream as well, and told apart by its version.
    cursor = await _load_cursor(request, session) if may_read else ""
    return render_page(
        "live.html",
        status=status,
        who=session,
        cursor=cursor,
        orders=await _load_orders(request, session) if may_read else [],
        refusals=await _load_rejections(request, session) if may_read else [],
        written=msgspec.structs.replace(composer, key=composer.key or os.urandom(16).hex()),
        may_read=may_read,
        may_send=WRITE_SIGNALS in session.principal.scopes,
        blank=_BLANK_ITEMS,
        most={"orders": MAX_SHOWN_ORDERS, "refusals": MAX_SHOWN_REJECTIONS},
    )


async def _load_cursor(request: AnyRequest, session: DashboardSession) -> str:
    services = get_services(request)
    log = await services.queries.page_events(session.principal.account_id, 0, 1, None)
    return f"{services.relay.epoch}-{log.head}"


async def _load_orders(request: AnyRequest, session: DashboardSession) -> list[OrderView]:
    orders, _ = await get_services(request).queries.list_orders(
        session.principal.account_id, Filters(limit=MAX_SHOWN_ORDERS)
    )
    return [to_order_view(order) for order in orders]


async def _load_rejections(request: AnyRequest, session: DashboardSession) -> list[RejectionView]:
    filters = Filters(status="rejected", limit=MAX_SHOWN_REJECTIONS)
    rejected, _ = await get_services(request).queries.list_signals(session.principal.account_id, filters)
    return [_to_rejection_view(signal) for signal in rejected]


def _to_rejection_view(signal: StoredSignal) -> RejectionView:
    problems = msgspec.json.decode(signal.errors or b"[]", type=list[Problem])
    return RejectionView(signal.id, signal.received_at, signal.raw, excerpt_problems(signal.raw, problems))


async def _describe_sent_order(request: AnyRequest, session: DashboardSession, order_id: str) -> str:
    """Return the message about an order that the form has just sent, or an empty one."""
    if not order_id:
        return ""
    try:
        order = to_order_view(await get_services(request).queries.get_order(session.principal.account_id, order_id))
    except SignalHubError:
        return ""
    return f"Accepted: {order.side} {order.symbol}, now {order.status}."


def _render_error(request: AnyRequest, error: SignalHubError) -> Response[str]:
    return render_page(
        "sorry.html",
        status=STATUSES[error.code],
        title=error.title,
        detail=error.detail,
        trace_id=get_context(request.scope).trace_id,
    )


def _render_outage(request: AnyRequest, _error: Exception) -> Response[str]:
    return _render_error(
        request, SignalHubError("unavailable", "The database cannot be reached. Try again in a moment.")
    )


ROUTES: Final = Router(
    "/",
    route_handlers=[show_dashboard, *LOGIN_HANDLERS, submit_signal_form, show_errors, templates.get_asset],
    exception_handlers={
        SignalHubError: _render_error,
        SQLAlchemyError: _render_outage,
        OSError: _render_outage,
        TimeoutError: _render_outage,
    },
    include_in_schema=False,
)
