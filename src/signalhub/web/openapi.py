"""The OpenAPI document at `/schema/openapi.json`, and what handlers declare for it.

Nothing here runs on a request of the API. The `…Document` structs describe responses that are sent as encoded bytes.
`complete_document` adds what is the same for all operations, such as the errors of authentication.
"""

import re
from dataclasses import dataclass, fields
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Response, Router
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    License,
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityScheme,
    Tag,
)
from litestar.params import Parameter as ParameterDeclaration
from litestar.types import DataContainerType, Method

from signalhub.domain.errors import Problem
from signalhub.domain.events import EVENT_TYPES, OrderView
from signalhub.grammar import Explanation
from signalhub.protocol import Accepted, EventDocument
from signalhub.services.queries import MAX_PAGE_SIZE
from signalhub.web.auth import SESSION_COOKIE
from signalhub.web.event_query import RESUME_ALIASES
from signalhub.web.problems import PROBLEM_MEDIA_TYPE, ProblemDocument
from signalhub.web.request_validation import validate_request
from signalhub.web.schema_page import SchemaPagePlugin
from signalhub.web.templates import SECURITY_HEADERS

_STATUS_DESCRIPTIONS: Final = {
    400: "The request is malformed.",
    401: "No credential, or one that is not valid (any more).",
    403: "The credential lacks the scope.",
    404: "The account has no such resource.",
    409: "In conflict with the state of the resource, or with an earlier request.",
    413: "The body is too large; a signal has at most 16 KiB.",
    415: "The body is not sent as `application/json`.",
    422: "Refused; `errors` lists what is wrong.",
    429: "Too many requests; send the same again after `Retry-After` seconds.",
    503: "Temporarily unavailable; send the same again after `Retry-After` seconds.",
}

PageSize = Annotated[int, ParameterDeclaration(ge=1, le=MAX_PAGE_SIZE, description="Items in a page.")]
PageCursor = Annotated[
    str, ParameterDeclaration(schema_extra={"format": "uuid"}, description="`next_cursor` of the page before.")
]

LogCursor = Annotated[
    str,
    ParameterDeclaration(
        schema_extra={"pattern": "^(([A-Za-z0-9]{1,32}-)?[0-9]{1,18})?$"},
        description="A `seq`, or `<epoch>-<seq>` as in the `id` of a stream's event.",
    ),
]

SymbolFilter = Annotated[
    str | None,
    ParameterDeclaration(
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{1,19}$", description="A symbol, or an alias of one such as GOLD."
    ),
]
_TYPE_PATTERN: Final = "|".join(
    re.escape(name).replace("\\*", "[*]")
    for name in ("*", *dict.fromkeys(type_.partition(".")[0] + ".*" for type_ in EVENT_TYPES), *EVENT_TYPES)
)
_DIRECTIVE_PATTERN: Final = (
    "reject=[a-z][a-z0-9_]{0,63}|fail=[0-9]{1,2}|(fill|close)_after=[0-9]{1,6}(ms|s|m|h)?"
    "|outcome=(take_profit|stop_loss)"
)

PUBLIC: Final[list[dict[str, list[str]]]] = [{}]
"""`security` of an operation that needs no credential."""


def response_specs(
    status: int, body_type: DataContainerType, description: str = "Done.", media_type: str = "application/json"
) -> dict[int, ResponseSpec]:
    """Describe the success of a handler whose return type does not."""
    return {status: ResponseSpec(body_type, generate_examples=False, description=description, media_type=media_type)}


def problem_specs(*statuses: int) -> dict[int, ResponseSpec]:
    """Describe these statuses as problem documents, and 400, which any request can get."""
    return {
        status: ResponseSpec(
            ProblemDocument,
            generate_examples=False,
            description=_STATUS_DESCRIPTIONS[status],
            media_type=PROBLEM_MEDIA_TYPE,
        )
        for status in sorted({400, *statuses})
    }


READ_PROBLEMS: Final = problem_specs(401, 403, 503)
LOOKUP_PROBLEMS: Final = problem_specs(401, 403, 404, 503)
LIST_PROBLEMS: Final = problem_specs(401, 403, 422, 503)
CHANGE_PROBLEMS: Final = problem_specs(401, 403, 404, 409, 415, 422, 503)
_SIGNAL_PROBLEMS: Final = problem_specs(401, 403, 409, 413, 422, 429, 503)


def signal_response_specs(status: int) -> dict[int, ResponseSpec]:
    """Describe the responses of a route that receives signals."""
    return response_specs(status, Accepted, "Signal and order are stored.") | _SIGNAL_PROBLEMS


# A dataclass again, or the constructor it inherits would not call __post_init__.
@dataclass
class RawTextOperation(Operation):
    """The body is raw text of any type; `data: str` would make Litestar decode it by Content-Type."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING, examples=["BUY EURUSD @ 1.0860\nSL 1.0850\nTP 1.0890"])
        wrapper = Schema(
            type=OpenAPIType.OBJECT, properties={"signal": text}, required=["signal"], additional_properties=True
        )
        if not isinstance(self, SignalOperation):
            wrapper = Schema()  # any JSON can be explained, though not sent
        self.request_body = RequestBody(
            content={"text/plain": OpenAPIMediaType(text), "application/json": OpenAPIMediaType(wrapper)},
            description="The signal as raw text, or JSON; the content decides, not its type.",
            required=isinstance(self, SignalOperation),
        )


@dataclass
class SignalOperation(RawTextOperation):
    """Raw text with the headers of a signal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parameters = [
            *(self.parameters or []),
            build_parameter(
                "header",
                "Idempotency-Key",
                "A resend with the same key creates no second order.",
                Schema(type=OpenAPIType.STRING, max_length=255, pattern="^([!-~]([ -~]*[!-~])?)?$"),
            ),
            build_parameter(
                "header",
                "X-SignalHub-Simulate",
                "Force what the mock broker does, such as `reject=insufficient_margin`; several, with blanks between.",
                Schema(type=OpenAPIType.STRING, max_length=255, pattern=f"^({_DIRECTIVE_PATTERN})?$"),
            ),
        ]


@dataclass
class EventQueryOperation(Operation):
    """The parameters that filter events."""

    def __post_init__(self) -> None:
        self.parameters = [
            *(self.parameters or []),
            build_parameter(
                "query",
                "types",
                "Only these types, such as `order.*,signal.rejected`.",
                Schema(type=OpenAPIType.STRING, pattern=f"^(({_TYPE_PATTERN})(,({_TYPE_PATTERN}))*)?$"),
            ),
            build_parameter("query", "symbol", "Only events about these symbols, such as `EURUSD,GOLD`."),
            build_parameter("query", "source", "Only events of signals from this key or hook: its id or its label."),
            build_parameter("query", "order_id", "Only events about these orders."),
        ]


@dataclass
class StreamOperation(EventQueryOperation):
    """The parameters that open, resume and filter a stream."""

    def __post_init__(self) -> None:
        super().__post_init__()
        after = "Continue after this event, a `seq` or an `<epoch>-<seq>`; 0 is everything. Without it: from now on."
        alias = "As `after`, which it precedes: where EventSource polyfills send the last id."
        self.parameters = [
            *(self.parameters or []),
            build_parameter("query", "after", after),
            *(build_parameter("query", name, alias) for name in RESUME_ALIASES),
            build_parameter("query", "ticket", "From `POST /api/v1/tickets`, in place of a key; opens one stream."),
            build_parameter("header", "Last-Event-ID", "Continue after this event. Takes precedence over `after`."),
        ]


def build_parameter(
    location: Literal["query", "header"], name: str, description: str, schema: Schema | None = None
) -> Parameter:
    """Describe an optional parameter, by default a text."""
    schema = schema or Schema(type=OpenAPIType.STRING)
    return Parameter(name=name, param_in=location, description=description, schema=schema, required=False)


class StreamFrameDocument(msgspec.Struct, frozen=True):
    """A frame of a stream. `data` is the JSON of the event, or of a control event such as `stream.ready`."""

    event: str
    data: str
    id: str | msgspec.UnsetType = msgspec.UNSET
    retry: int | msgspec.UnsetType = msgspec.UNSET


class GapDocument(msgspec.Struct, frozen=True):
    """Events `first` to `last` are no longer kept."""

    first: int
    last: int


class EventPageDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """`epoch` names this incarnation of the log, `head` is its last `seq`. `gap` is there only where there is one."""

    items: list[EventDocument]
    epoch: str
    head: int
    gap: GapDocument | msgspec.UnsetType = msgspec.UNSET


class SignalDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A text that was sent. `answer` is set if it was accepted, `errors` if it was not."""

    id: str
    accepted: bool
    raw: str
    credential_id: str
    received_at: str
    trace_id: str
    answer: Accepted | None
    errors: tuple[Problem, ...] | None


class SignalPageDocument(msgspec.Struct, frozen=True):
    items: list[SignalDocument]
    next_cursor: str | None


class Stage(msgspec.Struct, frozen=True):
    """`ms` counts from `received`."""

    at: str
    ms: float


class ReceiptDocument(msgspec.Struct, frozen=True):
    """`parse` is how the text is read today; `order` is null if the signal was refused.

    `stages` are `received`, `parsed`, `committed`, `enqueued`, `claimed`, `executed`, `published` and `delivered`, null
    where a stage has not happened, or nothing is known of it any more.
    """

    signal: SignalDocument
    parse: Explanation
    order: OrderView | None
    events: list[EventDocument]
    stages: dict[str, Stage | None]


class OrderEventsDocument(msgspec.Struct, frozen=True):
    items: list[EventDocument]


_API_DESCRIPTION: Final = (
    "Send trading signals as raw text; a mock broker executes the orders; every change is an event in a numbered log "
    "that can be followed live. Every error is a problem document (RFC 9457); its codes are listed at /docs/errors."
)
_TAG_DESCRIPTIONS: Final = {
    "signals": "Send a signal, check a text without sending it, list what was sent.",
    "orders": "The orders that the signals created.",
    "quotes": "Prices of the mock market.",
    "events": "The account's log, in pages or as a stream; over WebSocket at /ws/stream.",
    "account": "Accounts, keys, hook URLs, broker accounts.",
    "older clients": "Paths and response shapes that older clients use.",
    "health": "Health and metrics, for operators.",
}
_SECURITY_SCHEMES: Final = {
    "ApiKey": SecurityScheme(
        type="apiKey", name="X-API-Key", security_scheme_in="header", description="An API key, `shk_…`."
    ),
    "Bearer": SecurityScheme(type="http", scheme="bearer", description="The same key as a bearer token."),
    "Session": SecurityScheme(
        type="apiKey",
        name=SESSION_COOKIE,
        security_scheme_in="cookie",
        description="The dashboard's session; requests that change something need `X-CSRF-Token` too.",
    ),
}


@dataclass
class CompleteOpenAPI(OpenAPI):
    """The document with what `complete_document` adds."""

    def to_schema(self) -> dict[str, Any]:
        return complete_document(super().to_schema())


@dataclass
class CompleteOpenAPIConfig(OpenAPIConfig):
    def to_openapi_schema(self) -> OpenAPI:
        document = super().to_openapi_schema()
        return CompleteOpenAPI(**{field.name: getattr(document, field.name) for field in fields(document)})


def complete_document(document: dict[str, Any]) -> dict[str, Any]:
    """Add the errors that any operation can have, and correct what Litestar derives from optional types."""
    schemas = document["components"]["schemas"]
    for item in document["paths"].values():
        for operation in item.values():
            statuses = {400, 422, 503} | ({401, 403} if "security" not in operation else set())
            statuses |= {413} if "requestBody" in operation else set()
            for status in statuses - set(map(int, operation["responses"])):
                operation["responses"][str(status)] = describe_problem(status)
            operation["responses"] = dict(sorted(operation["responses"].items()))
            for parameter in operation.get("parameters", ()):
                # No value in a URL is null: an optional parameter is left out.
                parameter["schema"] = remove_null(parameter["schema"])
            complete_body(operation.get("requestBody", {}), schemas)
    return document


def complete_body(body: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Mark the body as optional where its type is, and as without further fields: `request_validation` refuses them."""
    media = body.get("content", {}).get("application/json", {"schema": {}})
    required = remove_null(media["schema"])
    if "required" in body:
        body["required"] = body["required"] and required == media["schema"]
    media["schema"] = required
    if "$ref" in required:
        schemas[required["$ref"].rpartition("/")[2]]["additionalProperties"] = False


def remove_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without the alternative `null`."""
    alternatives = [option for option in schema.get("oneOf", ()) if option != {"type": "null"}]
    if len(alternatives) != 1:
        return schema
    rest = {name: value for name, value in schema.items() if name not in {"oneOf", "default"}}
    return {**alternatives[0], **rest}


def describe_problem(status: int) -> dict[str, Any]:
    return {
        "description": _STATUS_DESCRIPTIONS[status],
        "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    }


def create_operation_id(handler: HTTPRouteHandler, _method: Method, _path: list[Any]) -> str:
    """Return the name of the handler in camel case, such as `listOrders`."""
    first, *others = handler.handler_name.split("_")
    return first + "".join(map(str.capitalize, others))


def create_openapi_config() -> OpenAPIConfig:
    return CompleteOpenAPIConfig(
        title="SignalHub",
        version=version("signalhub"),
        description=_API_DESCRIPTION,
        license=License(name="MIT", identifier="MIT"),
        tags=[Tag(name=name, description=description) for name, description in _TAG_DESCRIPTIONS.items()],
        components=Components(security_schemes=dict(_SECURITY_SCHEMES)),
        security=[{name: []} for name in _SECURITY_SCHEMES],
        use_handler_docstrings=True,
        operation_id_creator=create_operation_id,
        openapi_router=Router(
            "/schema",
            route_handlers=[],
            response_headers=SECURITY_HEADERS,
            before_request=validate_request,
            after_request=raise_not_found,
            include_in_schema=False,
        ),
        render_plugins=[SchemaPagePlugin(), JsonRenderPlugin()],
    )


def raise_not_found(response: "Response[Any]") -> "Response[Any]":
    """Replace Litestar's own page for an unknown path below `/schema` by the error of every other unknown path."""
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise NotFoundException
    return response
