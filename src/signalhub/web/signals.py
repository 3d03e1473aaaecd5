"""The doors for raw text: the canonical path, hook URLs, and the two paths of the older clients."""

import time
from typing import Annotated, Any, Final, Literal

import structlog
from litestar import Controller, Request, Router, get, post
from litestar.params import Parameter
from litestar.types import ASGIApp

from signalhub import grammar
from signalhub.domain.errors import GRAMMAR_ERRORS, ErrorCode, SignalHubError
from signalhub.services.auth import READ_ORDERS, WRITE_SIGNALS, Principal
from signalhub.services.credentials import hook_secret_context
from signalhub.services.ingest import AcceptedSignal
from signalhub.services.queries import Filters
from signalhub.web import asgi, rate_limit, webhook_signatures
from signalhub.web.asgi import RawJsonResponse, get_header
from signalhub.web.auth import authenticate
from signalhub.web.dependencies import get_rate_limiter, get_services
from signalhub.web.openapi import (
    LIST_PROBLEMS,
    PUBLIC,
    READ_PROBLEMS,
    RawTextOperation,
    SignalOperation,
    signal_response_specs,
)
from signalhub.web.problems import STATUSES, get_trace_id, to_problem_response

_log = structlog.get_logger()


AnyRequest = Request[Any, Any, Any]


class SignalController(Controller):
    path = "/api/v1/signals"
    tags = ("signals",)

    @post(
        status_code=202, operation_class=SignalOperation, responses=signal_response_specs(202), summary="Send a signal"
    )
    async def send(self, request: AnyRequest) -> ASGIApp:
        return await _ingest_body(request, await _authenticate_sender(request), 202)

    @post(
        "/parse",
        status_code=200,
        operation_class=RawTextOperation,
        responses=READ_PROBLEMS,
        summary="Explain a text without sending it",
    )
    async def parse(self, request: AnyRequest) -> grammar.Explanation:
        await _authenticate_sender(request)
        return grammar.explain(await asgi.read_body(request))

    @get(responses=LIST_PROBLEMS, summary="What was sent, accepted or not")
    async def list_signals(
        self,
        request: AnyRequest,
        *,
        status: Literal["accepted", "rejected"] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        who = (await authenticate(request)).require_scope(READ_ORDERS)
        items, following = await get_services(request).queries.list_signals(
            who.account_id, Filters(status=status, limit=limit, cursor=cursor)
        )
        return {"items": items, "next_cursor": following}


@post(
    "/hooks/{token:str}",
    status_code=202,
    operation_class=SignalOperation,
    responses=signal_response_specs(202),
    security=PUBLIC,
    tags=["signals"],
    summary="Send a signal to a hook URL",
)
async def receive_hook(request: AnyRequest, token: Annotated[str, Parameter(max_length=200)]) -> ASGIApp:
    found = get_services(request)
    hook = await found.authenticator.authenticate_hook(token)
    raw, key = await asgi.read_body(request), None
    if hook.encrypted_secret is not None:
        secret = found.encryption.decrypt(hook_secret_context(hook.credential_id), hook.encrypted_secret)
        webhook_signatures.verify(secret, request.headers, raw, time.time())
        # No other name counts: Idempotency-Key is not under the signature, and would let a captured request in again.
        key = request.headers["webhook-id"]
    return _to_response(
        request, await ingest_signal(request, hook, raw, idempotency_key=key, rate_limited_status=503), 202
    )


@post(
    "/api/v1/broker/webhook/receive-signal",
    status_code=200,
    operation_class=SignalOperation,
    responses=signal_response_specs(200),
    tags=["older clients"],
    summary="Send a signal (older path)",
)
async def receive_broker(request: AnyRequest) -> ASGIApp:
    """Clients of this path expect 400 for a text that is no signal."""
    try:
        return await _ingest_body(request, await _authenticate_sender(request), 200)
    except SignalHubError as error:
        status = 400 if error.code in GRAMMAR_ERRORS and STATUSES[error.code] == 422 else None  # noqa: PLR2004 - the row's status
        return to_problem_response(request, error, status=status).to_asgi_response(request.app, request)


@post(
    "/webhook/receive-signal",
    status_code=200,
    operation_class=SignalOperation,
    responses=signal_response_specs(200),
    tags=["older clients"],
    summary="Send a signal (older path)",
)
async def receive_webhook(request: AnyRequest) -> ASGIApp:
    return await _ingest_body(request, await _authenticate_sender(request), 200)


async def _authenticate_sender(request: AnyRequest) -> Principal:
    return (await authenticate(request)).require_scope(WRITE_SIGNALS)


async def _ingest_body(request: AnyRequest, principal: Principal, status: int) -> ASGIApp:
    return _to_response(request, await ingest_signal(request, principal, await asgi.read_body(request)), status)


def _to_response(request: AnyRequest, answer: AcceptedSignal, status: int) -> ASGIApp:
    return RawJsonResponse(answer.body, status, rate_limit.get_raw_headers(request))


async def ingest_signal(
    request: AnyRequest,
    principal: Principal,
    raw: bytes,
    *,
    idempotency_key: str | None = None,
    rate_limited_status: int = 429,
) -> AcceptedSignal:
    """The answer to a text, wherever in the request it came from; `key` is an idempotency key that is in no header."""
    found = get_services(request)
    _check_rate_limit(request, principal, rate_limited_status)
    return await found.ingest.receive(
        principal,
        raw,
        trace_id=get_trace_id(request),
        idempotency_key=idempotency_key
        or get_header(request, b"idempotency-key")
        or get_header(request, b"webhook-id"),
        simulate=get_header(request, b"x-signalhub-simulate"),
    )


def _check_rate_limit(request: AnyRequest, principal: Principal, rate_limited_status: int) -> None:
    rate_limiter = get_rate_limiter(request)
    verdict = rate_limiter.acquire(principal.account_id)
    rate_limiter.store_headers(request, verdict)
    if verdict.is_allowed:
        return
    code: ErrorCode = "too_many_requests" if rate_limited_status == 429 else "unavailable"  # noqa: PLR2004 - TradingView resends on 5xx only
    detail = f"More than {rate_limiter.per_minute} signals a minute; try again in {verdict.retry_after_s} s."
    raise SignalHubError(code, detail, retry_after_s=verdict.retry_after_s)


ROUTES: Final = Router("/", route_handlers=[SignalController, receive_hook, receive_broker, receive_webhook])
