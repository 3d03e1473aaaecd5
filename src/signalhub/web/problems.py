"""Render errors as RFC 9457 problem documents, to browsers as pages; the HTTP status of each error code.

`error` repeats `detail` because the older clients look for it there.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap, Scope, Send
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from signalhub.concurrency import release_frames
from signalhub.domain import identifiers
from signalhub.domain.errors import ErrorCode, Notice, Problem, SignalHubError
from signalhub.web.middleware import ERROR_RESPONSES
from signalhub.web.request_context import AnyConnection, get_context, get_services
from signalhub.web.templates import render_page

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

STATUSES: Final[Mapping[ErrorCode, int]] = {
    "empty": 422,
    "control_char": 422,
    "homoglyph": 422,
    "unresolved_placeholder": 422,
    "no_side": 422,
    "conflicting_side": 422,
    "no_symbol": 422,
    "unknown_symbol": 422,
    "bad_entry": 422,
    "bad_price": 422,
    "bad_quantity": 422,
    "ambiguous_number": 422,
    "missing_sl": 422,
    "duplicate_sl": 422,
    "missing_tp": 422,
    "too_many_targets": 422,
    "sl_wrong_side": 422,
    "tp_wrong_side": 422,
    "implausible_level": 422,
    "relative_price": 422,
    "no_entry_for_pending": 422,
    "conflicting_order_type": 422,
    "multiple_entries": 422,
    "multiple_signals": 422,
    "management": 422,
    "commentary": 422,
    "unsupported": 422,
    "unsupported_json": 422,
    "bad_simulation": 422,
    "malformed_json": 400,
    "not_utf8": 400,
    "missing_signal": 400,
    "too_large": 413,
    "bad_request": 400,
    "bad_cursor": 400,
    "unauthenticated": 401,
    "mistyped_key": 401,
    "unknown_key": 401,
    "expired_key": 401,
    "revoked_key": 401,
    "unknown_hook": 401,
    "bad_signature": 401,
    "bad_ticket": 401,
    "bad_csrf": 403,
    "bad_origin": 403,
    "missing_scope": 403,
    "forbidden": 403,
    "registration_closed": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "idempotency_in_flight": 409,
    "illegal_transition": 409,
    "username_taken": 409,
    "broker_account_taken": 409,
    "inactive_credential": 409,
    "too_many_keys": 409,
    "too_many_hooks": 409,
    "too_many_broker_accounts": 409,
    "unsupported_media_type": 415,
    "bad_host": 421,
    "idempotency_mismatch": 422,
    "invalid_request": 422,
    "unknown_parameter": 422,
    "unknown_field": 422,
    "too_many_requests": 429,
    "too_many_streams": 429,
    "too_many_tickets": 429,
    "internal": 500,
    "unavailable": 503,
}
"""The HTTP status of each error code, defined only here."""

_CODE_BY_STATUS: Final[Mapping[int, ErrorCode]] = {
    400: "bad_request",
    401: "unauthenticated",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}

_DATA_EXCEPTION_CLASS: Final = "22"
"""The SQLSTATE class of errors in a value."""

_log = structlog.get_logger()


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    title: str
    status: int
    code: str
    detail: str
    error: str
    trace_id: str
    errors: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] | msgspec.UnsetType = msgspec.UNSET


def to_problem_document(connection: "AnyConnection", error: SignalHubError, status: int) -> ProblemDocument:
    base_url = get_services(connection).settings.web.base_url
    return build_problem_document(base_url, get_context(connection.scope).trace_id, error, status)


def build_problem_document(base_url: str, trace_id: str, error: SignalHubError, status: int) -> ProblemDocument:
    # A detail may quote the request, such as a value that does not fit, and problem documents end in logs of others.
    detail = identifiers.mask_secrets(error.detail).text
    return ProblemDocument(
        type=f"{base_url}/docs/errors#{error.code}",
        title=error.title,
        status=status,
        code=error.code,
        detail=detail,
        error=detail,
        trace_id=trace_id,
        errors=error.problems,
        notices=error.notices or msgspec.UNSET,
    )


def encode_overload_refusal(base_url: str) -> bytes:
    """Return the body that refuses a request unread, with `%s` in place of its trace id."""
    error = SignalHubError("unavailable", "The service is overloaded; try again in a second.")
    document = ProblemDocument(
        type=f"{base_url}/docs/errors#{error.code}",
        title=error.title,
        status=STATUSES[error.code],
        code=error.code,
        detail=error.detail,
        error=error.detail,
        trace_id="",
    )
    before, after = msgspec.json.encode(document).split(b'"trace_id":""')
    return before.replace(b"%", b"%%") + b'"trace_id":"%s"' + after


async def send_problem(scope: Scope, send: Send, base_url: str, error: SignalHubError) -> None:
    """Send an error from outside of the framework, which knows neither the request nor the services there."""
    context, status = get_context(scope), STATUSES[error.code]
    context.error_code = error.code
    ERROR_RESPONSES.labels(error.code).inc()
    body = msgspec.json.encode(build_problem_document(base_url, context.trace_id, error, status))
    headers = [(b"content-type", PROBLEM_MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def to_problem_response(
    request: "Request[Any, Any, Any]", error: SignalHubError, *, status: int | None = None
) -> Response[ProblemDocument]:
    """Render an error. `status` overrides the table's, for the paths whose clients expect another."""
    release_frames(error)
    context = get_context(request.scope)
    context.error_code = error.code
    final_status = status or STATUSES[error.code]
    headers = dict(context.rate_limit_headers)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if final_status == 401:  # noqa: PLR2004 - RFC 9110 requires the header with it
        headers["WWW-Authenticate"] = 'Bearer realm="signalhub"'
    ERROR_RESPONSES.labels(error.code).inc()
    return Response(
        to_problem_document(request, error, final_status),
        status_code=final_status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def handle_http_exception(request: "Request[Any, Any, Any]", error: HTTPException) -> Response[Any]:
    code = _CODE_BY_STATUS.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")  # noqa: PLR2004 - the class of status
    allowed = _get_allowed_methods(error)
    if allowed and get_context(request.scope).method == "OPTIONS":
        return Response(None, status_code=204, headers={"Allow": allowed})
    extra = getattr(error, "extra", None)
    if error.status_code == 400 and extra:  # noqa: PLR2004 - Litestar lists what did not fit
        code = "invalid_request"
    detail = "" if error.status_code in {404, 413} else str(error.detail)  # the title says it
    if allowed:
        detail = f"This address answers {allowed}."
    if isinstance(extra, list) and extra and isinstance(extra[0], dict):
        detail = f"{extra[0].get('key', 'the request')}: {extra[0].get('message', 'not understood')}."
    problem = SignalHubError(code, detail)
    response = render_error(request, problem) if is_page_request(request) else to_problem_response(request, problem)
    if allowed:  # RFC 9110 requires it with a 405
        response.headers["Allow"] = allowed
    return response


def _get_allowed_methods(error: HTTPException) -> str:
    """Return what a 405 and an OPTIONS list, empty for any other error."""
    if error.status_code != 405:  # noqa: PLR2004 - the status itself
        return ""
    # Litestar lists a WebSocket as a method of its own, in small letters.
    methods = {name for name in (error.headers or {}).get("allow", "").split(", ") if name.isupper()} | {"OPTIONS"}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def is_page_request(request: "Request[Any, Any, Any]") -> bool:
    """Return whether a browser asks for a page. Other clients accept anything, or JSON."""
    is_read = get_context(request.scope).method in {"GET", "HEAD"}
    return is_read and "text/html" in request.headers.get("accept", "")


def render_error(request: "Request[Any, Any, Any]", error: SignalHubError) -> Response[str]:
    """Render an error as a page."""
    context = get_context(request.scope)
    context.error_code = error.code
    ERROR_RESPONSES.labels(error.code).inc()
    return render_page(
        "error.html",
        status=STATUSES[error.code],
        title=error.title,
        detail=error.detail,
        trace_id=context.trace_id,
    )


def handle_unreadable_body(request: "Request[Any, Any, Any]", _error: Exception) -> Response[ProblemDocument]:
    return to_problem_response(
        request, SignalHubError("bad_request", "The body is not JSON: it is not UTF-8, or nested too deeply.")
    )


def handle_database_error(request: "Request[Any, Any, Any]", error: DBAPIError) -> Response[ProblemDocument]:
    """Reject a value that PostgreSQL cannot hold; sending it again would not help."""
    if str(getattr(error.orig, "sqlstate", None)).startswith(_DATA_EXCEPTION_CLASS):
        return to_problem_response(
            request,
            SignalHubError(
                "invalid_request", "A value cannot be stored: it contains a NUL character, or is too large."
            ),
        )
    return handle_outage(request, error)


def handle_outage(request: "Request[Any, Any, Any]", error: Exception) -> Response[ProblemDocument]:
    _log.warning("request.database_unavailable", error=repr(error)[:200], trace_id=get_context(request.scope).trace_id)
    release_frames(error)
    return to_problem_response(
        request, SignalHubError("unavailable", "The database cannot be reached.", retry_after_s=1)
    )


def handle_unexpected_error(request: "Request[Any, Any, Any]", error: Exception) -> Response[ProblemDocument]:
    _log.error("request.failed", exc_info=error, trace_id=get_context(request.scope).trace_id)
    return to_problem_response(
        request, SignalHubError("internal", "An unexpected error; it is in the service's log under the trace id.")
    )


EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    SignalHubError: to_problem_response,
    HTTPException: handle_http_exception,
    UnicodeDecodeError: handle_unreadable_body,
    RecursionError: handle_unreadable_body,
    DBAPIError: handle_database_error,
    PoolTimeoutError: handle_outage,
    asyncio.TimeoutError: handle_outage,
    OSError: handle_outage,
    Exception: handle_unexpected_error,
}
