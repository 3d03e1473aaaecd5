"""Refuse query parameters and fields of the body that a handler does not know, in place of ignoring them.

What is known is read from the handler's signature: its parameters, and the fields of `data`. A handler that reads the
query itself has the option `query_parameters`; one that reads a raw body or a form has the option `reads_body`.

`validate_request` is the `before_request` of the routes with guards. It runs after them, so that a caller without a
credential gets 401 first. Handlers that authenticate themselves call `check_query` after that.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any, Final, Literal, get_args

import msgspec
from litestar.constants import RESERVED_KWARGS
from litestar.handlers import BaseRouteHandler
from litestar.params import ParameterKwarg
from litestar.typing import FieldDefinition

from signalhub.domain.errors import Problem, SignalHubError
from signalhub.domain.identifiers import mask_secrets
from signalhub.web.auth import SAFE_METHODS, get_api_key
from signalhub.web.origins import check_own_page
from signalhub.web.request_context import (
    MAX_QUERY_BYTES,
    MAX_QUERY_PARAMETERS,
    AnyConnection,
    AnyRequest,
    get_header,
    is_query_too_large,
)

_JSON_MEDIA_TYPE: Final = "application/json"
_UNKNOWN_FIELD_PATTERN: Final = re.compile(r"Object contains unknown field `(.*)`(?: - at `\$.*`)?", re.DOTALL)
_LOCATION_PATTERN: Final = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_MAX_QUOTED_CHARS: Final = 64


async def validate_request(request: AnyRequest) -> None:
    """Check the page it is from, and query and body against the handler's signature, before Litestar reads them."""
    if request.method not in SAFE_METHODS and get_api_key(request) is None:
        check_own_page(request)
    check_query(request)
    await check_body(request)


def check_query(connection: "AnyConnection") -> None:
    """Raise `unknown_parameter`, or `invalid_request` for a parameter that is given twice or is `null`."""
    if not connection.scope["query_string"]:
        return
    if is_query_too_large(connection.scope):
        raise SignalHubError(
            "invalid_request", f"A query has at most {MAX_QUERY_BYTES} bytes and {MAX_QUERY_PARAMETERS} parameters."
        )
    parameters = {
        name: field
        for name, field in list_query_parameters(connection.route_handler).items()
        if name not in connection.path_params
    }
    values: dict[str, str] = {}
    for name, value in connection.query_params.multi_items():
        if name not in parameters:
            raise create_unknown_error("unknown_parameter", name, parameters)
        if name in values:
            raise SignalHubError("invalid_request", f"{name}: given twice.")
        values[name] = value
        check_value(name, value, parameters[name].annotation)


def check_value(name: str, value: str, annotation: Any) -> None:  # noqa: ANN401 - a type
    """Raise `invalid_request` for a value that Litestar would convert to something else."""
    types = {annotation, *get_args(annotation)}
    if value.lower() == "null" and str not in types:  # to None, as if it had not been sent
        raise SignalHubError("invalid_request", f"{name}: leave it out in place of sending null.")
    if datetime in types and value[4:5] != "-":  # a number, to the time that many seconds after 1970
        raise SignalHubError("invalid_request", f"{name}: write a time such as 2026-01-01T12:00:00Z.")


@cache
def list_query_parameters(handler: BaseRouteHandler) -> dict[str, FieldDefinition]:
    """List the query parameters of a handler, and also those of its path, which its signature does not tell apart."""
    parameters = {}
    injected = {*RESERVED_KWARGS, *handler.resolve_dependencies()}
    for name, field in handler.parsed_fn_signature.parameters.items():
        definition = field.kwarg_definition if isinstance(field.kwarg_definition, ParameterKwarg) else None
        if name not in injected and (definition is None or definition.param_type == "query"):
            parameters[(definition and definition.name) or name] = field
    return parameters | dict.fromkeys(handler.opt.get("query_parameters", ()), FieldDefinition.from_annotation(str))


async def check_body(request: AnyRequest) -> None:
    """Raise for a body that is not what the handler declares.

    The errors are `unsupported_media_type`, `unknown_field`, `invalid_request` and `bad_request`.
    """
    handler = request.route_handler
    if request.method in SAFE_METHODS or handler.opt.get("reads_body"):
        return
    body = await request.body()
    if not body:  # where it is required, Litestar reports it
        return
    media_type = (get_header(request, b"content-type") or "").partition(";")[0].strip().lower()
    if media_type != _JSON_MEDIA_TYPE:  # any page can make a browser send the others
        raise SignalHubError("unsupported_media_type", "Send the body as Content-Type: application/json.")
    data = handler.parsed_fn_signature.parameters.get("data")
    try:
        if data is None:
            check_empty(_DECODER.decode(body))
        else:
            # Strict, unlike Litestar, which also takes the text "60" for a number, and null for no body.
            msgspec.convert(_DECODER.decode(body), exclude_none(data.annotation))
    except msgspec.ValidationError as error:
        raise to_field_error(error, list_fields(data.annotation if data else None)) from None
    except msgspec.DecodeError as error:
        raise SignalHubError("bad_request", f"The body is not JSON: {error}.") from None


def check_empty(body: object) -> None:
    """Raise for any body but an empty object: the handler would ignore it."""
    if isinstance(body, dict):
        for name in body:
            raise create_unknown_error("unknown_field", name, ())
    elif body is not None:
        raise SignalHubError("invalid_request", "This path takes no body; send it without one.")


def decode_float(text: str) -> int | float:
    """Return an int for a number such as 60.0, which JSON does not tell from 60."""
    number = float(text)
    return int(number) if number.is_integer() else number


_DECODER: Final = msgspec.json.Decoder(float_hook=decode_float)


def exclude_none(annotation: Any) -> Any:  # noqa: ANN401 - types
    """Return the type of a body that is optional: it may be missing, but never null."""
    types = [type_ for type_ in get_args(annotation) if type_ is not NoneType]
    return types[0] if len(types) == 1 else annotation


def list_fields(annotation: Any) -> list[str]:  # noqa: ANN401 - a type
    """List the fields of a struct, or of the struct in an optional."""
    for type_ in (annotation, *get_args(annotation)):
        if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
            return [field.encode_name for field in msgspec.structs.fields(type_)]
    return []


def to_field_error(error: msgspec.ValidationError, known: Collection[str]) -> SignalHubError:
    """Convert what msgspec reports for a body, with its place in the body before the message."""
    message = str(error)
    if unknown := _UNKNOWN_FIELD_PATTERN.fullmatch(message):
        return create_unknown_error("unknown_field", unknown[1], known)
    located = _LOCATION_PATTERN.fullmatch(message)
    return SignalHubError("invalid_request", f"{located[2]}: {located[1]}." if located else f"{message}.")


def create_unknown_error(
    code: Literal["unknown_parameter", "unknown_field"], name: str, known: Iterable[str]
) -> SignalHubError:
    """Create the error that names the known names, and first the one that is nearest to `name`."""
    kind, known = code.removeprefix("unknown_"), list(known)
    nearest = difflib.get_close_matches(name, known, n=1)
    if not known:
        hint = f"It takes no {kind}s."
    elif nearest:
        hint = f"Did you mean {nearest[0]}? It takes {', '.join(known)}."
    else:
        hint = f"It takes {', '.join(known)}."
    quoted = mask_secrets(name).text[:_MAX_QUOTED_CHARS]
    problem = Problem(code=code, text=quoted, hint=hint)
    return SignalHubError(code, f"This path has no {kind} {quoted!r}. {hint}", problems=(problem,))
