"""The OpenAPI document at `/schema/openapi.json`, and a page of it at `/schema` that loads nothing from elsewhere."""

import shlex
from collections.abc import Iterator
from importlib.metadata import version
from itertools import groupby
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Tag

from signalhub.web.callers import SESSION_COOKIE
from signalhub.web.house import get_services
from signalhub.web.rendering import SECURITY_HEADERS, render_template

_API_DESCRIPTION: Final = (
    "Raw-text trading signals in, mock-broker orders out, every change in a numbered log that can be followed live. "
    "Every refusal is a problem document (RFC 9457) whose codes are listed at /docs/errors."
)
_TAG_DESCRIPTIONS: Final = {
    "signals": "Send a text, have it explained, look at what was sent.",
    "orders": "What came of the signals.",
    "quotes": "The mock market's prices.",
    "events": "The account's log, in pages or as a stream. WebSockets tell the same: /ws/stream.",
    "account": "Accounts, keys, hook URLs, broker accounts.",
    "older clients": "Paths and shapes that existing clients already use.",
    "health": "For those who operate the service.",
}
_SECURITY_SCHEMES: Final = {
    "ApiKey": SecurityScheme(
        type="apiKey", name="X-API-Key", security_scheme_in="header", description="A key, as `shk_…`."
    ),
    "Bearer": SecurityScheme(type="http", scheme="bearer", description="The same key as a bearer token."),
    "Session": SecurityScheme(
        type="apiKey",
        name=SESSION_COOKIE,
        security_scheme_in="cookie",
        description="The dashboard's; what changes something needs `X-CSRF-Token` too.",
    ),
}


class OperationView(msgspec.Struct, frozen=True, kw_only=True):
    """One operation as the page shows it; the rest is taken from the document as it is."""

    tag: str
    verb: str
    path: str
    anchor: str
    curl: str
    about: dict[str, Any]


class SchemaPagePlugin(OpenAPIRenderPlugin):
    """The document as HTML."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: "Request[Any, Any, Any]", openapi_schema: dict[str, Any]) -> bytes:
        base_url = get_services(request).settings.base_url
        found = sorted(
            _iter_operations(openapi_schema, base_url), key=lambda one: list(_TAG_DESCRIPTIONS).index(one.tag)
        )
        return render_template(
            "schema.html",
            info=openapi_schema["info"],
            tags=_TAG_DESCRIPTIONS,
            groups=[(tag, list(group)) for tag, group in groupby(found, lambda one: one.tag)],
            shapes=dict(sorted(openapi_schema["components"]["schemas"].items())),
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
        for verb, about in item.items():
            yield OperationView(
                tag=about["tags"][0],
                verb=verb,
                path=path,
                anchor=about["operationId"],
                curl=_format_curl_command(verb, base_url + path, about, document["components"]["schemas"]),
                about=about,
            )


def _format_curl_command(verb: str, url: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A command that can be tried as it is, once the key and the braces are filled in."""
    words = ["curl"] if verb == "get" else ["curl", "-X", verb.upper()]
    if "security" not in operation:
        words += ["-H", '"X-API-Key: $SIGNALHUB_KEY"']
    if "text/event-stream" in str(operation["responses"]):
        words += ["-N"]
    body = operation.get("requestBody", {}).get("content", {})
    if "text/plain" in body:
        words += ["--data-raw", "'BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890'"]
    elif body:
        example = build_example(body["application/json"]["schema"], schemas)
        words += ["-H", "'Content-Type: application/json'", "-d", shlex.quote(msgspec.json.encode(example).decode())]
    return " ".join([*words, f"'{url}'" if "{" in url else url])


def build_example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Something of this form, with what is required and no more."""
    if "$ref" in schema:
        return build_example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "oneOf" in schema:
        return build_example(schema["oneOf"][0], schemas)
    if schema.get("type") == "object":
        return {name: build_example(schema["properties"][name], schemas) for name in schema.get("required", ())}
    return {"integer": 0, "number": 0, "boolean": False, "array": []}.get(schema.get("type", ""), "…")
