"""How an operation describes itself: what it takes where Litestar cannot see it, what it answers, how it refuses.

Nothing here runs on a request. The shapes at the end are those of answers that leave as bytes already made.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Parameter, RequestBody, Schema
from litestar.types import DataContainerType

from signalhub.services.submission import Accepted
from signalhub.web.problems import PROBLEM_MEDIA_TYPE, ProblemDocument

_STATUS_DESCRIPTIONS: Final = {
    400: "The request is malformed.",
    401: "No credential, or one that opens nothing (any more).",
    403: "The credential lacks the right.",
    404: "There is no such thing in this account.",
    409: "Something else came first.",
    413: "The text is larger than 16 KiB.",
    422: "Understood, and refused: what is wrong is in `errors`.",
    429: "Too many; come back after `Retry-After` seconds.",
    503: "Not now; send the same again after `Retry-After` seconds.",
}

PUBLIC: Final[list[dict[str, list[str]]]] = [{}]
"""`security` of an operation that needs no credential."""


def response_specs(status: int, body_type: DataContainerType, description: str = "Done.") -> dict[int, ResponseSpec]:
    """The success of a handler whose return type does not say it."""
    return {status: ResponseSpec(body_type, generate_examples=False, description=description)}


def problem_specs(*statuses: int) -> dict[int, ResponseSpec]:
    """These as problem documents, and 400, which any request can get."""
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
    """What a door for signals answers."""
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
    """And its headers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parameters = [
            *(self.parameters or []),
            _optional_parameter("header", "Idempotency-Key", "A resend under the same key makes no second order."),
            _optional_parameter(
                "header", "X-SignalHub-Simulate", "What the mock broker shall do: `reject=insufficient_margin`."
            ),
        ]


@dataclass
class StreamOperation(Operation):
    """How a stream is opened and resumed beside its declared query."""

    def __post_init__(self) -> None:
        self.parameters = [
            *(self.parameters or []),
            _optional_parameter("query", "ticket", "From `POST /api/v1/tickets`, in place of a key: opens one stream."),
            _optional_parameter("header", "Last-Event-ID", "Go on behind this event. Counts for more than `after`."),
        ]


def _optional_parameter(location: Literal["query", "header"], name: str, description: str) -> Parameter:
    text = Schema(type=OpenAPIType.STRING)
    return Parameter(name=name, param_in=location, description=description, schema=text, required=False)


class EventDocument(msgspec.Struct, frozen=True):
    """One line of the account's log. `data` is what the event is about, such as the order as it then was."""

    seq: int
    type: str
    at: str
    order_id: str | None
    signal_id: str | None
    trace_id: str
    data: dict[str, Any]


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
