"""The page at `/schema`: every operation of the OpenAPI document, with a command that calls it."""

import shlex
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec
from litestar import MediaType, Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

from signalhub.web.request_context import get_services
from signalhub.web.templates import render_template


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
        tags = {tag["name"]: tag["description"] for tag in openapi_schema["tags"]}
        operations = sorted(_iter_operations(openapi_schema, base_url), key=lambda view: list(tags).index(view.tag))
        return render_template(
            "schema.html",
            info=openapi_schema["info"],
            tags=tags,
            groups=[(tag, list(group)) for tag, group in groupby(operations, lambda view: view.tag)],
            schemas=dict(sorted(openapi_schema["components"]["schemas"].items())),
            schemes=openapi_schema["components"]["securitySchemes"],
        ).encode()


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
        words += ["-H", '"X-API-Key: $SIGNALHUB_API_KEY"']
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
