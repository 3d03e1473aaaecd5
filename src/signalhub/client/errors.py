"""Errors of the client: the service refused the request, or did not respond."""

import msgspec

from signalhub.domain.errors import Problem

_TOO_MANY_REQUESTS = 429
_FIRST_SERVER_ERROR = 500


class ClientError(Exception):
    """Base of all client errors; the message is a sentence for people."""


class Unreachable(ClientError):  # noqa: N818 - it names a state, and reads better so
    """No response arrived. `is_uncertain`: the request may have been processed."""

    def __init__(self, message: str, *, is_uncertain: bool = False) -> None:
        super().__init__(message)
        self.is_uncertain = is_uncertain


class Refused(ClientError):  # noqa: N818 - as Unreachable
    """The service's problem document. `code` is a row of docs/errors.md; `problems` point into a signal's text."""

    def __init__(
        self, detail: str, *, status: int, code: str, problems: tuple[Problem, ...] = (), retry_after_s: float = 0.0
    ) -> None:
        super().__init__(detail)
        self.detail, self.status, self.code, self.problems = detail, status, code, problems
        self.retry_after_s = retry_after_s

    @property
    def is_passing(self) -> bool:
        """Return True where the same request may succeed a little later."""
        return (
            self.status == _TOO_MANY_REQUESTS
            or self.status >= _FIRST_SERVER_ERROR
            or self.code == "idempotency_in_flight"
        )


class _ProblemDocument(msgspec.Struct):
    detail: str
    code: str
    errors: tuple[Problem, ...] = ()


def parse_refusal(status: int, body: bytes, retry_after: str | None) -> Refused:
    """Convert an error response, which a proxy in front of the service may have written."""
    retry_after_s = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    try:
        problem = msgspec.json.decode(body, type=_ProblemDocument)
    except msgspec.MsgspecError:
        problem = _ProblemDocument(
            f"The response was HTTP {status}, in a form that this service does not use.", "unknown"
        )
    return Refused(
        problem.detail, status=status, code=problem.code, problems=problem.errors, retry_after_s=retry_after_s
    )
