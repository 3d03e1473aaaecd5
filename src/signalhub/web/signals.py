"""The doors for raw text: the canonical path, hook URLs, and the two paths of the older clients."""

import time
from hashlib import sha256
from typing import Annotated, Any, Final

import structlog
from litestar import Controller, MediaType, Request, Router, get, post
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import Parameter
from litestar.response.base import ASGIResponse
from msgspec.structs import replace

from signalhub import grammar
from signalhub.domain.errors import GRAMMAR, Problem, SignalHubError
from signalhub.services.hooks import sealed_name
from signalhub.services.principal import READ_ORDERS, WRITE_SIGNALS, HookPrincipal, Principal
from signalhub.services.submission import Submission
from signalhub.services.views import Filters
from signalhub.web import signatures
from signalhub.web.callers import caller
from signalhub.web.house import House, house
from signalhub.web.problems import respond, trace_id

_log = structlog.get_logger()

_KEY_LENGTH: Final = 255

AnyRequest = Request[Any, Any, Any]


class RawText(Operation):
    """The body is raw text of any type; `data: str` would make Litestar decode it by Content-Type."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING, examples=["BUY EURUSD @ 1.0860\nSL 1.0850\nTP 1.0890"])
        self.request_body = RequestBody(
            content={
                "text/plain": OpenAPIMediaType(text),
                "application/json": OpenAPIMediaType(Schema(type=OpenAPIType.OBJECT)),
            },
            required=True,
        )


class SignalController(Controller):
    path = "/api/v1/signals"
    tags = ("signals",)

    @post(status_code=202, operation_class=RawText, summary="Send a signal")
    async def send(self, request: AnyRequest) -> ASGIResponse:
        return await _receive(request, await _writer(request), 202)

    @post("/parse", status_code=200, operation_class=RawText, summary="Explain a text without sending it")
    async def parse(self, request: AnyRequest) -> grammar.Explanation:
        await _writer(request)
        return grammar.explain(await request.body())

    @get(summary="What was sent, accepted or not")
    async def list_signals(
        self,
        request: AnyRequest,
        *,
        status: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        who = (await caller(request)).need(READ_ORDERS)
        items, following = await house(request).views.signals(
            who.account_id, Filters(status=status, limit=limit, cursor=cursor)
        )
        return {"items": items, "next_cursor": following}


@post("/hooks/{token:str}", status_code=202, operation_class=RawText, summary="Send a signal to a hook URL")
async def receive_hook(request: AnyRequest, token: Annotated[str, Parameter(max_length=200)]) -> ASGIResponse:
    found = house(request)
    hook = await found.keyring.hook(token)
    if hook.sealed_secret is not None:
        secret = found.vault.open(sealed_name(hook.credential_id), hook.sealed_secret)
        signatures.verify(secret, request.headers, await request.body(), time.time())
    return await _receive(request, hook, 202, busy_status=503)


@post("/api/v1/broker/webhook/receive-signal", status_code=200, operation_class=RawText, summary="Send (older path)")
async def receive_broker(request: AnyRequest) -> Any:  # noqa: ANN401 - either kind of response
    """Clients of this path expect 400 for a text that is no signal."""
    try:
        return await _receive(request, await _writer(request), 200)
    except SignalHubError as error:
        status = 400 if error.code in GRAMMAR and error.refusal.status == 422 else None  # noqa: PLR2004 - the row's status
        return respond(request, error, status=status)


@post("/webhook/receive-signal", status_code=200, operation_class=RawText, summary="Send (older path)")
async def receive_webhook(request: AnyRequest) -> ASGIResponse:
    return await _receive(request, await _writer(request), 200)


async def _writer(request: AnyRequest) -> Principal:
    return (await caller(request)).need(WRITE_SIGNALS)


async def _receive(request: AnyRequest, who: Principal, status: int, *, busy_status: int = 429) -> ASGIResponse:
    answer = await accept(request, who, await request.body(), busy_status=busy_status)
    # The JSON is made already: a Response would only be taken apart to make one of these.
    return ASGIResponse(body=answer, status_code=status, media_type=MediaType.JSON)


async def accept(
    request: AnyRequest, who: Principal, raw: bytes, *, key: str | None = None, busy_status: int = 429
) -> bytes:
    """The answer to a text, wherever in the request it came from; `key` is an idempotency key that is in no header."""
    found = house(request)
    _check_rate(found, who, busy_status)
    sent = _submission(request, who, raw)
    return await found.intake.accept(sent if key is None else replace(sent, idempotency_key=_key(key)))


def _check_rate(found: House, who: Principal, busy_status: int) -> None:
    verdict = found.limits.take(who.account_id)
    if verdict.is_allowed:
        return
    code = "too_many_requests" if busy_status == 429 else "unavailable"  # noqa: PLR2004 - TradingView resends on 5xx only
    detail = f"More than {found.limits.per_minute} signals a minute; try again in {verdict.wait_s} s."
    raise SignalHubError(code, detail, retry_after=verdict.wait_s)


def _submission(request: AnyRequest, who: Principal, raw: bytes) -> Submission:
    read = grammar.parse(raw)
    headers = request.headers
    sent = Submission(
        account_id=who.account_id,
        credential_id=who.credential_id,
        raw=raw,
        fingerprint=sha256(raw).digest(),
        signal=None,
        idempotency_key=_key(headers.get("idempotency-key") or headers.get("webhook-id")),
        simulate=headers.get("x-signalhub-simulate"),
        trace_id=trace_id(request),
    )
    if isinstance(who, HookPrincipal):
        sent = replace(sent, hook_id=who.credential_id, duplicate_window_s=who.duplicate_window_s)
    if isinstance(read, grammar.Refused):
        return replace(sent, problems=read.problems)
    key, simulate = sent.idempotency_key or read.client_id, sent.simulate or read.simulate
    return replace(sent, signal=read.signal, idempotency_key=key, simulate=simulate)


def _key(text: str | None) -> str | None:
    if text is not None and (len(text) > _KEY_LENGTH or not text.isprintable()):
        hint = f"A key is at most {_KEY_LENGTH} printable characters."
        raise SignalHubError("bad_request", hint, problems=(Problem(code="bad_request", hint=hint),))
    return text


ROUTES: Final = Router("/", route_handlers=[SignalController, receive_hook, receive_broker, receive_webhook])
