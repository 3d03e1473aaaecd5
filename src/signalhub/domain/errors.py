"""Error codes: one typed table of every stable code, its title and whether it is permanent. No HTTP.

`web.problems` maps each code to its status, and `docs/errors.md` is tested against both. mypy reports a code that is
not in the literals below.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec.structs import replace

# Reasons to reject a text.
GrammarErrorCode = Literal[
    "empty",
    "control_char",
    "homoglyph",
    "unresolved_placeholder",
    "no_side",
    "conflicting_side",
    "no_symbol",
    "unknown_symbol",
    "bad_entry",
    "bad_price",
    "bad_quantity",
    "ambiguous_number",
    "missing_sl",
    "duplicate_sl",
    "missing_tp",
    "too_many_targets",
    "sl_wrong_side",
    "tp_wrong_side",
    "implausible_level",
    "relative_price",
    "no_entry_for_pending",
    "conflicting_order_type",
    "multiple_entries",
    "multiple_signals",
    "management",
    "commentary",
    "unsupported",
    "unsupported_json",
    "bad_simulation",
    "malformed_json",
    "not_utf8",
    "missing_signal",
    "too_large",
]

# Reasons to reject a request.
ServiceErrorCode = Literal[
    "bad_request",
    "bad_cursor",
    "unauthenticated",
    "mistyped_key",
    "unknown_key",
    "expired_key",
    "revoked_key",
    "unknown_hook",
    "bad_signature",
    "bad_ticket",
    "bad_csrf",
    "bad_origin",
    "missing_scope",
    "forbidden",
    "registration_closed",
    "not_found",
    "method_not_allowed",
    "idempotency_in_flight",
    "illegal_transition",
    "username_taken",
    "broker_account_taken",
    "inactive_credential",
    "too_many_keys",
    "too_many_hooks",
    "too_many_broker_accounts",
    "unsupported_media_type",
    "bad_host",
    "idempotency_mismatch",
    "invalid_request",
    "unknown_parameter",
    "unknown_field",
    "too_many_requests",
    "too_many_streams",
    "too_many_tickets",
    "internal",
    "unavailable",
]

ErrorCode = Literal[GrammarErrorCode, ServiceErrorCode]

if TYPE_CHECKING:
    ProblemCode = ErrorCode
    PlaceNumber = int
else:
    # Decoded without a check: a client must be able to read the codes of a newer server.
    ProblemCode = str
    # Unset only in a problem of a header, which `Problem.place` is asked for.
    PlaceNumber = int | msgspec.UnsetType


class ErrorType(msgspec.Struct, frozen=True):
    """One row of the table. `title` is the same for every occurrence of a code.

    `is_permanent`: the same request will be rejected again, so that only a changed one is worth sending.
    """

    title: str
    is_permanent: bool = True


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of a text. `line` and `column` count from 1, `length` counts characters of the text as sent.

    A problem of a header has no place in the text: `header` names it, and `text` is the part that is wrong.
    """

    code: ProblemCode
    line: PlaceNumber = 1
    column: PlaceNumber = 1
    length: PlaceNumber = 0
    text: str = ""
    hint: str = ""
    header: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def place(self) -> tuple[int, int, int] | None:
        """Line, column and length; None for a problem of a header."""
        return None if self.header else (self.line, self.column, self.length)


def header_problem(header: str, problem: Problem) -> Problem:
    """Return the problem as one of this header."""
    return replace(problem, header=header, line=msgspec.UNSET, column=msgspec.UNSET, length=msgspec.UNSET)


class Notice(msgspec.Struct, frozen=True):
    """What the sender should know of a text that was accepted or refused all the same. `code` is stable."""

    code: str
    detail: str


GRAMMAR_ERRORS: Final[Mapping[GrammarErrorCode, ErrorType]] = {
    "empty": ErrorType("Empty signal"),
    "control_char": ErrorType("Control character in the signal"),
    "homoglyph": ErrorType("Look-alike letters"),
    "unresolved_placeholder": ErrorType("Unfilled placeholder"),
    "no_side": ErrorType("No side"),
    "conflicting_side": ErrorType("Two sides"),
    "no_symbol": ErrorType("No symbol"),
    "unknown_symbol": ErrorType("Unknown symbol"),
    "bad_entry": ErrorType("Entry price not understood"),
    "bad_price": ErrorType("Price not understood"),
    "bad_quantity": ErrorType("Quantity not understood"),
    "ambiguous_number": ErrorType("A number with two readings"),
    "missing_sl": ErrorType("No stop loss"),
    "duplicate_sl": ErrorType("Two stop losses"),
    "missing_tp": ErrorType("No take profit"),
    "too_many_targets": ErrorType("Too many take profits"),
    "sl_wrong_side": ErrorType("Stop loss on the wrong side"),
    "tp_wrong_side": ErrorType("Take profit on the wrong side"),
    "implausible_level": ErrorType("Implausible level"),
    "relative_price": ErrorType("Relative price"),
    "no_entry_for_pending": ErrorType("LIMIT or STOP without a price"),
    "conflicting_order_type": ErrorType("Two order types"),
    "multiple_entries": ErrorType("Two entries"),
    "multiple_signals": ErrorType("Several signals in one text"),
    "management": ErrorType("A message about an open trade"),
    "commentary": ErrorType("Commentary, not a signal"),
    "unsupported": ErrorType("Format not supported"),
    "unsupported_json": ErrorType("JSON not supported"),
    "bad_simulation": ErrorType("Simulation directive not understood"),
    "malformed_json": ErrorType("Malformed JSON"),
    "not_utf8": ErrorType("Not UTF-8"),
    "missing_signal": ErrorType("No signal in the JSON"),
    "too_large": ErrorType("Signal too large"),
}

SERVICE_ERRORS: Final[Mapping[ServiceErrorCode, ErrorType]] = {
    "bad_request": ErrorType("Bad request"),
    "bad_cursor": ErrorType("Cursor not understood"),
    "unauthenticated": ErrorType("No credential"),
    "mistyped_key": ErrorType("Mistyped API key"),
    "unknown_key": ErrorType("Unknown API key"),
    "expired_key": ErrorType("Expired API key"),
    "revoked_key": ErrorType("Revoked API key"),
    "unknown_hook": ErrorType("Unknown hook"),
    "bad_signature": ErrorType("Signature does not match"),
    "bad_ticket": ErrorType("Ticket spent or unknown"),
    "bad_csrf": ErrorType("CSRF token missing or wrong"),
    "bad_origin": ErrorType("Foreign origin"),
    "missing_scope": ErrorType("Key without the scope"),
    "forbidden": ErrorType("Another account's stream"),
    "registration_closed": ErrorType("Registration is closed"),
    "not_found": ErrorType("Not found"),
    "method_not_allowed": ErrorType("Method not allowed"),
    "idempotency_in_flight": ErrorType("The first request is still running", is_permanent=False),
    "illegal_transition": ErrorType("The order has moved on"),
    "username_taken": ErrorType("Username taken"),
    "broker_account_taken": ErrorType("Broker account taken"),
    "inactive_credential": ErrorType("Credential revoked or expired"),
    "too_many_keys": ErrorType("Too many API keys"),
    "too_many_hooks": ErrorType("Too many hooks"),
    "too_many_broker_accounts": ErrorType("Too many broker accounts"),
    "unsupported_media_type": ErrorType("Body not sent as JSON"),
    "bad_host": ErrorType("Unknown host"),
    "idempotency_mismatch": ErrorType("Idempotency key used for another body"),
    "invalid_request": ErrorType("Invalid request"),
    "unknown_parameter": ErrorType("Unknown query parameter"),
    "unknown_field": ErrorType("Unknown field in the body"),
    "too_many_requests": ErrorType("Too many requests", is_permanent=False),
    "too_many_streams": ErrorType("Too many streams", is_permanent=False),
    "too_many_tickets": ErrorType("Too many unused tickets", is_permanent=False),
    "internal": ErrorType("Internal error", is_permanent=False),
    "unavailable": ErrorType("Temporarily unavailable", is_permanent=False),
}

ERRORS: Final[Mapping[ErrorCode, ErrorType]] = MappingProxyType(
    dict([*GRAMMAR_ERRORS.items(), *SERVICE_ERRORS.items()])
)


class SignalHubError(Exception):
    """A rejected request or text. `detail` defaults to the title of `code`; `retry_after_s` goes into Retry-After."""

    def __init__(
        self,
        code: ErrorCode,
        detail: str = "",
        *,
        problems: tuple[Problem, ...] = (),
        notices: tuple[Notice, ...] = (),
        retry_after_s: int | None = None,
    ) -> None:
        self.title = ERRORS[code].title
        self.code = code
        self.detail = detail or self.title + "."
        self.problems = problems
        self.notices = notices
        self.retry_after_s = retry_after_s
        super().__init__(f"{code}: {self.detail}")
