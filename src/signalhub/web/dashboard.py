"""The dashboard: sign in and out, send a signal, follow orders, read the error codes. It works without script.

A sign-in link shows a button, and the button redeems the ticket: a link preview in a chat or mail would otherwise
use it up before a person opens it.
"""

import os
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.response import Redirect
from sqlalchemy.exc import SQLAlchemyError

from signalhub.domain.errors import ERRORS, GRAMMAR_ERRORS, SERVICE_ERRORS, Problem, SignalHubError
from signalhub.domain.events import OrderView, to_order_view
from signalhub.domain.identifiers import mask_secrets
from signalhub.domain.order import Order
from signalhub.services.auth import READ_ORDERS, WRITE_SIGNALS
from signalhub.services.queries import Filters
from signalhub.services.signal_records import SubmissionOptions
from signalhub.web import signals, templates
from signalhub.web.auth import (
    SESSION_COOKIE,
    DashboardSession,
    check_form_token,
    expire_cookies,
    load_dashboard_session,
    sign_in,
)
from signalhub.web.problems import STATUSES, render_error
from signalhub.web.request_context import (
    MAX_FORM_BYTES,
    MAX_SIGNAL_FORM_BYTES,
    AnyRequest,
    get_cookie,
    get_header,
    get_services,
)
from signalhub.web.request_validation import create_unknown_error
from signalhub.web.templates import render_page

MAX_SHOWN_ORDERS: Final = 50
MAX_SHOWN_REJECTIONS: Final = 10
MAX_FORM_FIELDS: Final = 8
_LINE_BREAK: Final = re.compile("\r\n|[\n\r\u2028\u2029]")
_SPENT_LINK_MESSAGE: Final = "This link was used already, or is too old. Sign in with an API key."


class ProblemExcerpt(msgspec.Struct, frozen=True, kw_only=True):
    """One problem, and the line of the text that it is in, divided into what is before, in and after the mark.

    `before` and `after` are empty if the problem is in no one place. `static/problems.js` computes the same in the
    browser; the two must agree on lines and columns.
    """

    code: str
    title: str
    hint: str
    position: str
    before: str = ""
    marked: str = ""
    after: str = ""


class ComposerState(msgspec.Struct, frozen=True, kw_only=True):
    """The form's text and the result of sending it. With `key`, a second click or a resend creates no second order."""

    text: str = ""
    key: str = ""
    message: str = ""
    problems: list[ProblemExcerpt] = []


class RejectionView(msgspec.Struct, frozen=True):
    id: str
    received_at: str
    raw: str
    problems: list[ProblemExcerpt]


# Empty items of the <template> elements, which the scripts copy and fill in.
_BLANK_ITEMS: Final = {
    "order": dict.fromkeys(OrderView.__struct_fields__, "") | {"take_profits": (), "pnl": None},
    "problem": ProblemExcerpt(code="", title="", hint="", position=""),
    "rejection": RejectionView("", "", "", []),
}


class SessionForm(msgspec.Struct, frozen=True):
    """A form that was sent in a session and carried its CSRF token."""

    session: DashboardSession
    fields: dict[str, str]


def excerpt_problems(text: str, problems: Sequence[Problem]) -> list[ProblemExcerpt]:
    lines, excerpts = _LINE_BREAK.split(text), []
    for problem in problems:
        line_number, column, length = problem.place or (0, 0, 0)
        line = lines[line_number - 1] if 1 <= line_number <= len(lines) else ""
        start, end = column - 1, column - 1 + length
        # In a JSON wrapper positions are those of the inner text, which is not the one shown.
        is_in_line = length > 0 and line[start:end] == problem.text
        excerpts.append(
            ProblemExcerpt(
                code=problem.code,
                title=ERRORS[problem.code].title,
                hint=problem.hint,
                position=f"Header {problem.header}" if problem.header else f"Line {line_number}, column {column}",
                before=line[:start] if is_in_line else "",
                marked=problem.text,
                after=line[end:] if is_in_line else "",
            )
        )
    return excerpts


async def read_form(request: AnyRequest) -> dict[str, str]:
    """Read the fields of a form. Raises `too_large`, and `invalid_request` for more fields than any form has.

    In place of `request.form()`, which keeps the last 1,024 bodies, and what it has parsed from them.
    """
    if not (get_header(request, b"content-type") or "").startswith("application/x-www-form-urlencoded"):
        return {}
    try:
        text = (await request.body()).decode("latin-1")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except RequestEntityTooLarge:
        raise SignalHubError("too_large", "The form is too large.") from None
    except ValueError:
        raise SignalHubError("invalid_request", f"A form has at most {MAX_FORM_FIELDS} fields.") from None


def check_form_fields(fields: dict[str, str], known: Collection[str]) -> None:
    """Raise `unknown_field` for a field that no form of this page has."""
    for name in fields:
        if name not in known:
            raise create_unknown_error("unknown_field", name, known)


async def provide_session_form(request: AnyRequest, session: NamedDependency[DashboardSession | None]) -> SessionForm:
    """Return the form and the session it was sent in. Raises `unauthenticated`, `bad_csrf`."""
    if session is None:
        raise SignalHubError("unauthenticated", "You are signed out. Sign in, then send it again.")
    fields = await read_form(request)
    check_form_token(session, fields.get("csrf", ""))
    check_form_fields(fields, ("csrf", "text", "key"))
    return SessionForm(session, fields)


@get("/login")
async def show_login(token: str = "") -> Response[str]:
    return render_page("confirm.html", token=token) if token else render_sign_in_page()


@post("/login", status_code=303)
async def log_in(request: AnyRequest) -> Response[Any]:
    form = await read_form(request)
    try:
        check_form_fields(form, ("username", "key", "token"))
        cookie = await sign_in(get_services(request), key=form.get("key", "").strip(), ticket=form.get("token", ""))
    except SignalHubError as error:
        detail = _SPENT_LINK_MESSAGE if error.code == "bad_ticket" else error.detail
        return render_sign_in_page(detail, status=STATUSES[error.code])
    return Redirect("/", status_code=303, cookies=[cookie])


@post("/logout", status_code=303)
async def log_out(form: NamedDependency[SessionForm]) -> Response[Any]:  # noqa: ARG001 - providing it checks the token
    return Redirect("/", status_code=303, cookies=expire_cookies())


def render_sign_in_page(
    detail: str = "", *, status: int = 200, is_signed_out: bool = False, headers: dict[str, str] | None = None
) -> Response[str]:
    """Render the sign-in page. With `is_signed_out` its script tells other tabs that nobody is signed in."""
    return render_page("sign_in.html", status=status, headers=headers, detail=detail, is_signed_out=is_signed_out)


def render_outage(request: AnyRequest, _error: Exception) -> Response[str]:
    return render_error(
        request, SignalHubError("unavailable", "The database cannot be reached. Try again in a moment.")
    )


def render_session_error(request: AnyRequest, error: SignalHubError) -> Response[str]:
    """Render the sign-in page and delete the cookies if the session's key is no longer valid."""
    if STATUSES[error.code] != 401:  # noqa: PLR2004 - an outage signs nobody out
        return render_error(request, error)
    response = render_sign_in_page(error.detail, status=STATUSES[error.code], is_signed_out=True)
    for cookie in expire_cookies():
        response.set_cookie(cookie)
    return response


@get("/", exception_handlers={SignalHubError: render_session_error})
async def show_dashboard(
    request: AnyRequest, session: NamedDependency[DashboardSession | None], sent: str = ""
) -> Response[Any]:
    """Show the dashboard or the sign-in page. `sent` is the id of an order that the form has just created."""
    if session is not None:
        message = ""
        with suppress(SignalHubError):  # anyone can write an id into the address
            if sent:
                order = to_order_view(await get_services(request).queries.get_order(session.principal.account_id, sent))
                message = f"Accepted: {order.side} {order.symbol}, now {order.status}."
        return await render_dashboard(request, session, ComposerState(message=message))
    if request.headers.get("sec-fetch-site") == "cross-site" and get_cookie(request, SESSION_COOKIE) is None:
        # A link on another site brought us here, so Strict cookies stayed behind; our own page's request has them.
        return render_sign_in_page(headers={"Refresh": "0; url=/"})
    return render_sign_in_page(is_signed_out=True)


@post("/send", status_code=303, request_max_body_size=MAX_SIGNAL_FORM_BYTES)
async def submit_signal_form(request: AnyRequest, form: NamedDependency[SessionForm]) -> Response[Any]:
    """Send the text of the form, for browsers without script."""
    principal = form.session.principal.require_scope(WRITE_SIGNALS)
    # Masked here too, since the page shows the text again beside its problems.
    text, key = mask_secrets(form.fields.get("text", "")).text, form.fields.get("key", "")
    options = SubmissionOptions(idempotency_key=key or None)
    try:
        accepted = await signals.ingest_signal(request, principal, text.encode(), options)
    except SignalHubError as error:
        problems = excerpt_problems(text, error.problems)
        composer = ComposerState(text=text, key=key, problems=problems, message="" if problems else error.detail)
        return await render_dashboard(request, form.session, composer, status=STATUSES[error.code])
    return Redirect(f"/?sent={accepted.order_id}", status_code=303)


@get("/docs/errors")
async def show_errors() -> Response[str]:
    return render_page(
        "errors.html",
        groups={"Rejected texts": GRAMMAR_ERRORS, "Rejected requests": SERVICE_ERRORS},
        statuses=STATUSES,
    )


@get(["/dev/api/docs"], status_code=302)
async def redirect_to_reference() -> Redirect:
    """Lead older clients, which know the reference under this path, to its page."""
    return Redirect("/schema", status_code=302)


async def render_dashboard(
    request: AnyRequest, session: DashboardSession, composer: ComposerState, status: int = 200
) -> Response[str]:
    services, account_id = get_services(request), session.principal.account_id
    cursor = ""
    orders: list[Order] = []
    rejections: list[RejectionView] = []
    if READ_ORDERS in session.principal.scopes:
        # 1. The cursor, before the orders: events in between come over the stream too, and the version of an order
        #    tells which of the two is newer.
        log = await services.queries.page_events(account_id, 0, 1)
        cursor = f"{services.relay.epoch}-{log.head}"
        # 2. The newest orders and rejected signals.
        orders, _ = await services.queries.list_orders(account_id, Filters(limit=MAX_SHOWN_ORDERS))
        filters = Filters(status="rejected", limit=MAX_SHOWN_REJECTIONS)
        for stored in (await services.queries.list_signals(account_id, filters))[0]:
            problems = msgspec.json.decode(stored.errors or b"[]", type=list[Problem])
            excerpts = excerpt_problems(stored.raw, problems)
            rejections.append(RejectionView(stored.id, stored.received_at, stored.raw, excerpts))
    # 3. A new idempotency key, unless the form comes back with its own.
    composer = msgspec.structs.replace(composer, key=composer.key or os.urandom(16).hex())
    return render_page(
        "live.html",
        status=status,
        session=session,
        cursor=cursor,
        orders=[to_order_view(order) for order in orders],
        rejections=rejections,
        composer=composer,
        may_read=READ_ORDERS in session.principal.scopes,
        may_send=WRITE_SIGNALS in session.principal.scopes,
        blank=_BLANK_ITEMS,
        max_rows={"orders": MAX_SHOWN_ORDERS, "rejections": MAX_SHOWN_REJECTIONS},
    )


ROUTES: Final = Router(
    "/",
    route_handlers=[
        show_dashboard,
        show_login,
        log_in,
        log_out,
        submit_signal_form,
        show_errors,
        redirect_to_reference,
        templates.get_asset,
        templates.get_favicon,
    ],
    dependencies={
        "session": Provide(load_dashboard_session),
        "form": Provide(provide_session_form),
    },
    exception_handlers={
        SignalHubError: render_error,
        SQLAlchemyError: render_outage,
        OSError: render_outage,
        TimeoutError: render_outage,
    },
    opt={"reads_body": True},
    request_max_body_size=MAX_FORM_BYTES,
    include_in_schema=False,
)
