"""The doors for raw text: the canonical path, hook URLs, and the two paths of the older clients."""

import time
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import structlog
from litestar import Controller, Request, Router, get, post
from litestar.params import Parameter
from litestar.types import ASGIApp
from msgspec.structs import replace

from signalhub import grammar
from signalhub.domain import simulation
from signalhub.domain.errors import GRAMMAR, Problem, SignalHubError
from signalhub.services.hooks import sealed_name
from signalhub.services.principal import READ_ORDERS, WRITE_SIGNALS, HookPrincipal, Principal
from signalhub.services.submission import Submission
from signalhub.services.views import Filters
from signalhub.web import limits, reading, signatures
from signalhub.web.answer import JsonAnswer
from signalhub.web.callers import caller
from signalhub.web.house import House, house
from signalhub.web.openapi import LISTS, PUBLIC, READS, RawText, Sent, takes_signal
from signalhub.web.problems import respond, trace_id
from signalhub.web.reading import header

_log = structlog.get_logger()

_WORD_LENGTH: Final = 255
_WORDS: Final = f"An idempotency key and a simulation are at most {_WORD_LENGTH} printable characters each."
_UNFORCED: Final = Problem(code="bad_simulation", hint="Outcomes cannot be forced here: send it without.")

AnyRequest = Request[Any, Any, Any]


class SignalController(Controller):
    path = "/api/v1/signals"
    tags = ("signals",)

    @post(status_code=202, operation_class=Sent, responses=takes_signal(202), summary="Send a signal")
    async def send(self, request: AnyRequest) -> ASGIApp:
        return await _receive(request, await _writer(request), 202)

    @post(
        "/parse",
        status_code=200,
        operation_class=RawText,
        responses=READS,
        summary="Explain a text without sending it",
    )
    async def parse(self, request: AnyRequest) -> grammar.Explanation:
        await _writer(request)
        return grammar.explain(await reading.body(request))

    @get(responses=LISTS, summary="What was sent, accepted or not")
    async def list_signals(
        self,
        request: AnyRequest,
        *,
        status: Literal["accepted", "rejected"] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        who = (await caller(request)).need(READ_ORDERS)
        items, following = await house(request).views.signals(
            who.account_id, Filters(status=status, limit=limit, cursor=cursor)
        )
        return {"items": items, "next_cursor": following}


@post(
    "/hooks/{token:str}",
    status_code=202,
    operation_class=Sent,
    responses=takes_signal(202),
    security=PUBLIC,
    tags=["signals"],
    summary="Send a signal to a hook URL",
)
async def receive_hook(request: AnyRequest, token: Annotated[str, Parameter(max_length=200)]) -> ASGIApp:
    found = house(request)
    hook = await found.keyring.hook(token)
    raw, key = await reading.body(request), None
    if hook.sealed_secret is not None:
        secret = found.vault.open(sealed_name(hook.credential_id), hook.sealed_secret)
        signatures.verify(secret, request.headers, raw, time.time())
        # No other name counts: Idempotency-Key is not under the signature, and would let a captured request in again.
        key = request.headers["webhook-id"]
    return _accepted(request, await accept(request, hook, raw, key=key, busy_status=503), 202)


@post(
    "/api/v1/broker/webhook/receive-signal",
    status_code=200,
    operation_class=Sent,
    responses=takes_signal(200),
    tags=["older clients"],
    summary="Send a signal (older path)",
)
async def receive_broker(request: AnyRequest) -> ASGIApp:
    """Clients of this path expect 400 for a text that is no signal."""
    try:
        return await _receive(request, await _writer(request), 200)
    except SignalHubError as error:
        status = 400 if error.code in GRAMMAR and error.refusal.status == 422 else None  # noqa: PLR2004 - the row's status
        return respond(request, error, status=status).to_asgi_response(request.app, request)


@post(
    "/webhook/receive-signal",
    status_code=200,
    operation_class=Sent,
    responses=takes_signal(200),
    tags=["older clients"],
    summary="Send a signal (older path)",
)
async def receive_webhook(request: AnyRequest) -> ASGIApp:
    return await _receive(request, await _writer(request), 200)


async def _writer(request: AnyRequest) -> Principal:
    return (await caller(request)).need(WRITE_SIGNALS)


async def _receive(request: AnyRequest, who: Principal, status: int) -> ASGIApp:
    return _accepted(request, await accept(request, who, await reading.body(request)), status)


def _accepted(request: AnyRequest, answer: bytes, status: int) -> ASGIApp:
    return JsonAnswer(answer, status, limits.encoded(request))


async def accept(
    request: AnyRequest, who: Principal, raw: bytes, *, key: str | None = None, busy_status: int = 429
) -> bytes:
    """The answer to a text, wherever in the request it came from; `key` is an idempotency key that is in no header."""
    found = house(request)
    _check_rate(request, found, who, busy_status)
    return await found.intake.accept(_submission(request, who, raw, key))


def _check_rate(request: AnyRequest, found: House, who: Principal, busy_status: int) -> None:
    verdict = found.limits.take(who.account_id)
    found.limits.note(request, verdict)
    if verdict.is_allowed:
        return
    code = "too_many_requests" if busy_status == 429 else "unavailable"  # noqa: PLR2004 - TradingView resends on 5xx only
    detail = f"More than {found.limits.per_minute} signals a minute; try again in {verdict.wait_s} s."
    raise SignalHubError(code, detail, retry_after=verdict.wait_s)


def _submission(request: AnyRequest, who: Principal, raw: bytes, key: str | None) -> Submission:
    read = grammar.parse(raw)
    sent = Submission(
        account_id=who.account_id,
        credential_id=who.credential_id,
        raw=raw,
        fingerprint=sha256(raw).digest(),
        signal=None,
        idempotency_key=key or header(request, b"idempotency-key") or header(request, b"webhook-id"),
        simulate=header(request, b"x-signalhub-simulate"),
        trace_id=trace_id(request),
    )
    if isinstance(who, HookPrincipal):
        sent = replace(sent, hook_id=who.credential_id, duplicate_window_s=who.duplicate_window_s)
    if isinstance(read, grammar.Refused):
        return replace(sent, problems=read.problems)
    key, simulate = sent.idempotency_key or read.client_id, sent.simulate or read.simulate
    if not (_is_a_word(key) and _is_a_word(simulate)):
        return replace(sent, problems=(Problem(code="bad_request", hint=_WORDS),))
    forced = simulation.parse(simulate) if house(request).settings.simulate == "on" or not simulate else _UNFORCED
    if isinstance(forced, Problem):
        return replace(sent, problems=(forced,))
    return replace(sent, signal=read.signal, idempotency_key=key, simulate=simulate)


def _is_a_word(text: str | None) -> bool:
    """JSON can hold what the database cannot, such as a NUL; a 503 for it would bring the sender back for ever."""
    return text is None or (len(text) <= _WORD_LENGTH and text.isprintable())


ROUTES: Final = Router("/", route_handlers=[SignalController, receive_hook, receive_broker, receive_webhook])
