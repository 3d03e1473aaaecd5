"""The live page: send a signal, follow the orders. Complete without script; script only makes it live."""

import os
from typing import Any, Final

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.response import Redirect
from sqlalchemy.exc import SQLAlchemyError

from signalhub.domain.errors import GRAMMAR, SERVICE, Problem, SignalHubError
from signalhub.domain.events import OrderView, order_view
from signalhub.services.principal import READ_ORDERS, WRITE_SIGNALS
from signalhub.services.submission import Answer
from signalhub.services.views import Filters, SignalLine
from signalhub.web import assets, entrance, signals
from signalhub.web.callers import SESSION
from signalhub.web.entrance import form_of, sign_in_page, signed_out_page
from signalhub.web.faults import Fault, locate
from signalhub.web.house import house
from signalhub.web.problems import trace_id
from signalhub.web.rendering import page
from signalhub.web.session import SignedIn, signed_in

SHOWN_ORDERS: Final = 50
SHOWN_REFUSALS: Final = 10

AnyRequest = Request[Any, Any, Any]

# What the scripts copy and fill in.
_BLANK: Final = {
    "order": dict.fromkeys(OrderView.__struct_fields__, "") | {"take_profits": (), "pnl": None},
    "fault": Fault(code="", title="", hint="", line=0, column=0),
    "refusal": {"id": "", "received_at": "", "raw": "", "faults": ()},
}


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the box and what was said to it. `key` makes a second click, or a resend, no second order."""

    text: str = ""
    key: str = ""
    said: str = ""
    faults: list[Fault] = []


class RefusalLine(msgspec.Struct, frozen=True):
    id: str
    received_at: str
    raw: str
    faults: list[Fault]


@get("/")
async def live(request: AnyRequest, sent: str = "") -> Response[Any]:
    try:
        who = await signed_in(request)
    except SignalHubError as error:
        if error.refusal.status != 401:  # noqa: PLR2004 - an outage signs nobody out
            raise
        return signed_out_page(error)
    if who is not None:
        return await _live_page(request, who, Written(said=await _said_of(request, who, sent)))
    if request.headers.get("sec-fetch-site") == "cross-site" and SESSION not in request.cookies:
        # A link on another site brought us here, so Strict cookies stayed behind; our own page's request has them.
        return sign_in_page(headers={"Refresh": "0; url=/"})
    return sign_in_page(is_out=True)


@post("/send", status_code=303)
async def send(request: AnyRequest) -> Response[Any]:
    """What the form does where no script sends it."""
    who, form = await form_of(request)
    who.principal.need(WRITE_SIGNALS)
    text, key = form.get("text", ""), form.get("key", "")
    try:
        answer = await signals.accept(request, who.principal, text.encode(), key=key or None)
    except SignalHubError as error:
        faults = locate(text, error.problems)
        said = "" if faults else error.detail
        written = Written(text=text, key=key, faults=faults, said=said)
        return await _live_page(request, who, written, status=error.refusal.status)
    return Redirect(f"/?sent={msgspec.json.decode(answer, type=Answer).order_id}", status_code=303)


@get("/docs/errors")
async def errors() -> Response[str]:
    return page("errors.html", groups={"What a text is refused for": GRAMMAR, "What a request is refused for": SERVICE})


async def _live_page(request: AnyRequest, who: SignedIn, written: Written, status: int = 200) -> Response[str]:
    may_read = READ_ORDERS in who.principal.scopes
    # Before the orders: what happens in between is then on the stream as well, and told apart by its version.
    cursor = await _cursor(request, who) if may_read else ""
    return page(
        "live.html",
        status=status,
        who=who,
        cursor=cursor,
        orders=await _orders(request, who) if may_read else [],
        refusals=await _refusals(request, who) if may_read else [],
        written=msgspec.structs.replace(written, key=written.key or os.urandom(16).hex()),
        may_read=may_read,
        may_send=WRITE_SIGNALS in who.principal.scopes,
        blank=_BLANK,
        most={"orders": SHOWN_ORDERS, "refusals": SHOWN_REFUSALS},
    )


async def _cursor(request: AnyRequest, who: SignedIn) -> str:
    found = house(request)
    log = await found.views.events(who.principal.account_id, 0, 1, None)
    return f"{found.relay.epoch}-{log.head}"


async def _orders(request: AnyRequest, who: SignedIn) -> list[OrderView]:
    found, _ = await house(request).views.orders(who.principal.account_id, Filters(limit=SHOWN_ORDERS))
    return [order_view(order) for order in found]


async def _refusals(request: AnyRequest, who: SignedIn) -> list[RefusalLine]:
    wanted = Filters(status="rejected", limit=SHOWN_REFUSALS)
    found, _ = await house(request).views.signals(who.principal.account_id, wanted)
    return [_refusal(line) for line in found]


def _refusal(line: SignalLine) -> RefusalLine:
    problems = msgspec.json.decode(line.errors or b"[]", type=list[Problem])
    return RefusalLine(line.id, line.received_at, line.raw, locate(line.raw, problems))


async def _said_of(request: AnyRequest, who: SignedIn, order_id: str) -> str:
    """The words for an order that the form before this page has sent."""
    if not order_id:
        return ""
    try:
        order = order_view(await house(request).views.order(who.principal.account_id, order_id))
    except SignalHubError:
        return ""
    return f"Accepted: {order.side} {order.symbol}, now {order.status}."


def _refused(request: AnyRequest, error: SignalHubError) -> Response[str]:
    return page(
        "sorry.html",
        status=error.refusal.status,
        title=error.refusal.title,
        detail=error.detail,
        trace_id=trace_id(request),
    )


def _outage(request: AnyRequest, _error: Exception) -> Response[str]:
    return _refused(request, SignalHubError("unavailable", "The database cannot be reached. Try again in a moment."))


ROUTES: Final = Router(
    "/",
    route_handlers=[live, *entrance.HANDLERS, send, errors, assets.asset],
    exception_handlers={SignalHubError: _refused, SQLAlchemyError: _outage, OSError: _outage, TimeoutError: _outage},
    include_in_schema=False,
)
