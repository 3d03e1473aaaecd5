"""What a caller of the client can run into: the service said no, or did not say anything."""

import msgspec

from signalhub.domain.errors import Problem

_TOO_MANY_REQUESTS = 429
_FIRST_SERVER_ERROR = 500


class ClientError(Exception):
    """The message is a sentence for people."""


class Unreachable(ClientError):  # noqa: N818 - it names a state, and reads better so
    """No answer came. `is_uncertain` where the request may have arrived all the same."""

    def __init__(self, message: str, *, is_uncertain: bool = False) -> None:
        super().__init__(message)
        self.is_uncertain = is_uncertain


class Refused(ClientError):  # noqa: N818 - the same
    """The service's problem document. `code` is a row of docs/errors.md; `problems` point into a signal's text."""

    def __init__(
        self, detail: str, *, status: int, code: str, problems: tuple[Problem, ...] = (), retry_after_s: float = 0.0
    ) -> None:
        super().__init__(detail)
        self.detail, self.status, self.code, self.problems = detail, status, code, problems
        self.retry_after_s = retry_after_s

    @property
    def is_passing(self) -> bool:
        """Whether the same request may be answered otherwise a little later."""
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
    """From an answer that is no success, whoever between us and the service may have written it."""
    wait_s = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    try:
        told = msgspec.json.decode(body, type=_ProblemDocument)
    except msgspec.MsgspecError:
        told = _ProblemDocument(f"The answer was HTTP {status}, and not in the form of this service.", "unknown")
    return Refused(told.detail, status=status, code=told.code, problems=told.errors, retry_after_s=wait_s)
