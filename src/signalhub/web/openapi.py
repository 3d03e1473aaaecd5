"""The OpenAPI document at `/schema/openapi.json`, its page at `/schema`, and what handlers declare for it.

Nothing here runs on a request of the API. The `…Document` structs describe responses that are sent as encoded bytes.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from typing import Any, Final, Literal

import msgspec
from litestar import MediaType, Request, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    License,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityScheme,
    Tag,
)
from litestar.types import DataContainerType

from signalhub.protocol import Accepted, EventDocument
from signalhub.web.auth import SESSION_COOKIE
from signalhub.web.problems import PROBLEM_MEDIA_TYPE, ProblemDocument
from signalhub.web.request_context import get_services
from signalhub.web.templates import SECURITY_HEADERS, render_template

_STATUS_DESCRIPTIONS: Final = {
    400: "The request is malformed.",
    401: "No credential, or one that is not valid (any more).",
    403: "The credential lacks the scope.",
    404: "The account has no such resource.",
    409: "In conflict with the state of the resource, or with an earlier request.",
    413: "The text is larger than 16 KiB.",
    422: "Refused; `errors` lists what is wrong.",
    429: "Too many requests; send the same again after `Retry-After` seconds.",
    503: "Temporarily unavailable; send the same again after `Retry-After` seconds.",
}

PUBLIC: Final[list[dict[str, list[str]]]] = [{}]
"""`security` of an operation that needs no credential."""


def response_specs(status: int, body_type: DataContainerType, description: str = "Done.") -> dict[int, ResponseSpec]:
    """Describe the success of a handler whose return type does not."""
    return {status: ResponseSpec(body_type, generate_examples=False, description=description)}


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
CHANGE_PROBLEMS: Final = problem_specs(401, 403, 404, 409, 422, 503)
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
        wrapper = Schema(type=OpenAPIType.OBJECT, properties={"signal": text}, additional_properties=True)
        self.request_body = RequestBody(
            content={"text/plain": OpenAPIMediaType(text), "application/json": OpenAPIMediaType(wrapper)},
            description="The signal as raw text, or JSON; the content decides, not its type.",
            required=True,
        )


@dataclass
class SignalOperation(RawTextOperation):
    """Raw text with the headers of a signal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parameters = [
            *(self.parameters or []),
            _optional_parameter("header", "Idempotency-Key", "A resend with the same key creates no second order."),
            _optional_parameter(
                "header",
                "X-SignalHub-Simulate",
                "Force what the mock broker does, such as `reject=insufficient_margin`.",
            ),
        ]


@dataclass
class StreamOperation(Operation):
    """The parameters that open and resume a stream, beside its declared query."""

    def __post_init__(self) -> None:
        self.parameters = [
            *(self.parameters or []),
            _optional_parameter("query", "ticket", "From `POST /api/v1/tickets`, in place of a key; opens one stream."),
            _optional_parameter("header", "Last-Event-ID", "Continue after this event. Takes precedence over `after`."),
        ]


def _optional_parameter(location: Literal["query", "header"], name: str, description: str) -> Parameter:
    text = Schema(type=OpenAPIType.STRING)
    return Parameter(name=name, param_in=location, description=description, schema=text, required=False)


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


class OperationView(msgspec.Struct, frozen=True, kw_only=True):
    """One operation for the page; `spec` is its part of the document."""

    tag: str
    method: str
    path: str
    anchor: str
    curl: str
    spec: dict[str, Any]


class SchemaPagePlugin(OpenAPIRenderPlugin):
    """Renders the document as HTML."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: "Request[Any, Any, Any]", openapi_schema: dict[str, Any]) -> bytes:
        base_url = get_services(request).settings.web.base_url
        operations = sorted(
            _iter_operations(openapi_schema, base_url), key=lambda view: list(_TAG_DESCRIPTIONS).index(view.tag)
        )
        return render_template(
            "schema.html",
            info=openapi_schema["info"],
            tags=_TAG_DESCRIPTIONS,
            groups=[(tag, list(group)) for tag, group in groupby(operations, lambda view: view.tag)],
            schemas=dict(sorted(openapi_schema["components"]["schemas"].items())),
            schemes=openapi_schema["components"]["securitySchemes"],
        ).encode()


def create_openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="SignalHub",
        version=version("signalhub"),
        description=_API_DESCRIPTION,
        license=License(name="MIT", identifier="MIT"),
        tags=[Tag(name=name, description=description) for name, description in _TAG_DESCRIPTIONS.items()],
        components=Components(security_schemes=dict(_SECURITY_SCHEMES)),
        security=[{name: []} for name in _SECURITY_SCHEMES],
        use_handler_docstrings=True,
        openapi_router=Router("/schema", route_handlers=[], response_headers=SECURITY_HEADERS, include_in_schema=False),
        render_plugins=[SchemaPagePlugin(), JsonRenderPlugin()],
    )


def _iter_operations(document: dict[str, Any], base_url: str) -> Iterator[OperationView]:
    for path, item in document["paths"].items():
        for method, spec in item.items():
            yield OperationView(
                tag=spec["tags"][0],
                method=method,
                path=path,
                anchor=spec["operationId"],
                curl=format_curl_command(method, base_url + path, spec, document["components"]["schemas"]),
                spec=spec,
            )


def format_curl_command(method: str, url: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Return a command that works as it is, once the key and the parts in braces are filled in."""
    words = ["curl"] if method == "get" else ["curl", "-X", method.upper()]
    if "security" not in operation:  # only public operations differ from the document's own
        words += ["-H", '"X-API-Key: $SIGNALHUB_KEY"']
    if "text/event-stream" in str(operation["responses"]):
        words += ["-N"]  # or curl shows events only when its buffer is full
    body = operation.get("requestBody", {}).get("content", {})
    if "text/plain" in body:
        words += ["--data-raw", "'BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890'"]
    elif body:
        example = build_example(body["application/json"]["schema"], schemas)
        words += ["-H", "'Content-Type: application/json'", "-d", shlex.quote(msgspec.json.encode(example).decode())]
    return " ".join([*words, f"'{url}'" if "{" in url else url])


def build_example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return a value of this schema with the required fields only."""
    if "$ref" in schema:
        return build_example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "oneOf" in schema:
        return build_example(schema["oneOf"][0], schemas)
    if schema.get("type") == "object":
        return {name: build_example(schema["properties"][name], schemas) for name in schema.get("required", ())}
    return {"integer": 0, "number": 0, "boolean": False, "array": []}.get(schema.get("type", ""), "…")
