"""Receive raw text: on the canonical path, on hook URLs, and on the two paths of the older clients.

The handlers that receive signals are the hot path. They call authentication and services themselves and send an
encoded body, in place of guards, injected dependencies and a response class of the framework (see `request_context`).
"""

import time
from typing import Final, Literal

import msgspec
from litestar import Controller, Router, get, post
from litestar.types import ASGIApp
from msgspec.structs import replace

from signalhub import grammar
from signalhub.domain import identifiers
from signalhub.domain.errors import GRAMMAR_ERRORS, SignalHubError
from signalhub.services.auth import READ_ORDERS, WRITE_SIGNALS, Principal
from signalhub.services.ingest import AcceptedSignal
from signalhub.services.keys_and_hooks import hook_secret_context
from signalhub.services.queries import Filters, StoredSignal
from signalhub.services.signal_records import SubmissionOptions
from signalhub.web import request_context, webhook_signatures
from signalhub.web.auth import AppServices, Caller, authenticate, require_scope
from signalhub.web.middleware import FRAMEWORK_MIDDLEWARE
from signalhub.web.openapi import (
    LIST_PROBLEMS,
    PUBLIC,
    READ_PROBLEMS,
    PageCursor,
    PageSize,
    RawTextOperation,
    SignalOperation,
    SignalPageDocument,
    response_specs,
    signal_response_specs,
)
from signalhub.web.problems import STATUSES, to_problem_response
from signalhub.web.request_context import (
    AnyRequest,
    RawJsonResponse,
    get_context,
    get_header,
    get_rate_limiter,
    get_services,
)
from signalhub.web.request_validation import check_query, validate_request


class SignalPage(msgspec.Struct, frozen=True):
    items: list[StoredSignal]
    next_cursor: str | None


class SignalController(Controller):
    path = "/api/v1/signals"
    tags = ("signals",)

    @post(
        status_code=202,
        is_hot=True,
        operation_class=SignalOperation,
        operation_id="sendSignal",
        responses=signal_response_specs(202),
        summary="Send a signal",
    )
    async def send(self, request: AnyRequest) -> ASGIApp:
        return await receive_text(request, 202)

    @post(
        "/parse",
        status_code=200,
        reads_body=True,
        operation_class=RawTextOperation,
        operation_id="explainSignal",
        middleware=FRAMEWORK_MIDDLEWARE,
        before_request=validate_request,
        guards=[require_scope(WRITE_SIGNALS)],
        responses=READ_PROBLEMS,
        summary="Explain a text without sending it",
    )
    async def parse(self, request: AnyRequest) -> grammar.Explanation:
        raw, credentials = identifiers.mask_secrets_in_bytes(await request_context.read_body(request))
        return replace(grammar.explain(raw), notices=identifiers.to_masking_notices(credentials) or msgspec.UNSET)

    @get(
        middleware=FRAMEWORK_MIDDLEWARE,
        before_request=validate_request,
        guards=[require_scope(READ_ORDERS)],
        responses=response_specs(200, SignalPageDocument) | LIST_PROBLEMS,
        summary="What was sent, accepted or not",
    )
    async def list_signals(
        self,
        services: AppServices,
        principal: Caller,
        *,
        status: Literal["accepted", "rejected"] | None = None,
        limit: PageSize = 50,
        cursor: PageCursor | None = None,
    ) -> SignalPage:
        filters = Filters(status=status, limit=limit, cursor=cursor)
        return SignalPage(*await services.queries.list_signals(principal.account_id, filters))


@post(
    "/hooks/{token:str}",
    status_code=202,
    is_hot=True,
    operation_class=SignalOperation,
    operation_id="sendSignalToHook",
    responses=signal_response_specs(202),
    security=PUBLIC,
    tags=["signals"],
    summary="Send a signal to a hook URL",
)
async def receive_hook(request: AnyRequest, token: str) -> ASGIApp:
    services, context = get_services(request), get_context(request.scope)
    # 1. Authenticate: by the token in the path and, for a signed hook, by the signature over the body.
    hook = await services.authenticator.authenticate_hook(token)
    raw, options = await request_context.read_body(request), get_options(request)
    if hook.encrypted_secrets:
        context_text = hook_secret_context(hook.credential_id)
        secrets = (services.encryption.decrypt(context_text, secret) for secret in hook.encrypted_secrets)
        webhook_signatures.verify(secrets, request.headers, raw, time.time())
        # No other header counts: Idempotency-Key is not signed, and would let a captured request in again.
        options = replace(
            options, idempotency_key=request.headers["webhook-id"], idempotency_header="webhook-id", is_key_signed=True
        )
    if request.scope["query_string"]:
        check_query(request)
    # 2. Limit: with a 503 in place of a 429, because TradingView resends on 5xx only.
    check_rate_limit(request, hook, "unavailable")
    # 3. Parse and ingest.
    accepted = await services.ingest.receive(
        hook,
        raw,
        trace_id=context.trace_id,
        options=options,
    )
    # 4. Answer.
    return RawJsonResponse(accepted.body, 202, context.rate_limit_headers)


@post(
    "/api/v1/broker/webhook/receive-signal",
    status_code=200,
    is_hot=True,
    operation_class=SignalOperation,
    responses=signal_response_specs(200),
    tags=["older clients"],
    operation_id="sendSignalToBrokerWebhook",
    summary="Send a signal (older path)",
)
async def receive_broker(request: AnyRequest) -> ASGIApp:
    """Receive a text; the clients of this path expect 400 for one that is no signal."""
    try:
        return await receive_text(request, 200)
    except SignalHubError as error:
        status = 400 if error.code in GRAMMAR_ERRORS and STATUSES[error.code] == 422 else None  # noqa: PLR2004 - the code's own status
        return to_problem_response(request, error, status=status).to_asgi_response(request.app, request)


@post(
    "/webhook/receive-signal",
    status_code=200,
    is_hot=True,
    operation_class=SignalOperation,
    responses=signal_response_specs(200),
    tags=["older clients"],
    operation_id="sendSignalToWebhook",
    summary="Send a signal (older path)",
)
async def receive_webhook(request: AnyRequest) -> ASGIApp:
    return await receive_text(request, 200)


async def receive_text(request: AnyRequest, status: int) -> ASGIApp:
    """Authenticate, limit, parse, ingest; answer with `status`."""
    principal = (await authenticate(request)).require_scope(WRITE_SIGNALS)
    if request.scope["query_string"]:
        check_query(request)
    raw = await request_context.read_body(request)
    accepted = await ingest_signal(request, principal, raw, get_options(request))
    return RawJsonResponse(accepted.body, status, get_context(request.scope).rate_limit_headers)


async def ingest_signal(
    request: AnyRequest, principal: Principal, raw: bytes, options: SubmissionOptions
) -> AcceptedSignal:
    """Limit, parse and ingest a text."""
    check_rate_limit(request, principal, "too_many_requests")
    return await get_services(request).ingest.receive(
        principal, raw, trace_id=get_context(request.scope).trace_id, options=options
    )


def get_options(request: AnyRequest) -> SubmissionOptions:
    """Return what the headers say of a signal."""
    key, header = get_header(request, b"idempotency-key"), "Idempotency-Key"
    if not key:
        key, header = get_header(request, b"webhook-id"), "webhook-id"
    return SubmissionOptions(
        idempotency_key=key, idempotency_header=header, simulate=get_header(request, b"x-signalhub-simulate")
    )


def check_rate_limit(
    request: AnyRequest, principal: Principal, code: Literal["too_many_requests", "unavailable"]
) -> None:
    """Take a signal from the account's limit. Raises `code` if it is used up."""
    rate_limiter, context = get_rate_limiter(request), get_context(request.scope)
    context.account_id = principal.account_id
    decision = rate_limiter.acquire(principal.account_id)
    context.rate_limit_headers = rate_limiter.build_headers(decision)
    if not decision.is_allowed:
        detail = f"More than {rate_limiter.per_minute} signals a minute; try again in {decision.retry_after_s} s."
        raise SignalHubError(code, detail, retry_after_s=decision.retry_after_s)


ROUTES: Final = Router("/", route_handlers=[SignalController, receive_hook, receive_broker, receive_webhook])
