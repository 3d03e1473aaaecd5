"""The table of refusals: every stable code, its HTTP status and its title.

One shape for the whole service (RFC 9457). A code that is not in the table cannot be raised, and `docs/errors.md` is
tested against it, so a client can rely on what it reads there.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """One row: the HTTP `status` and the short `title`, which is the same for every occurrence of the code."""

    status: int
    title: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One fault in a text. `line` and `column` count from 1, `length` in characters of the text as it was sent."""

    code: str
    line: int = 1
    column: int = 1
    length: int = 0
    text: str = ""
    hint: str = ""


# What the grammar can say of a text.
GRAMMAR_REFUSALS: Final = {
    "empty": Refusal(422, "Empty signal"),
    "control_char": Refusal(422, "Control character in the signal"),
    "homoglyph": Refusal(422, "Look-alike letters"),
    "unresolved_placeholder": Refusal(422, "Unfilled placeholder"),
    "no_side": Refusal(422, "No side"),
    "conflicting_side": Refusal(422, "Two sides"),
    "no_symbol": Refusal(422, "No symbol"),
    "unknown_symbol": Refusal(422, "Unknown symbol"),
    "bad_entry": Refusal(422, "Entry price not understood"),
    "bad_price": Refusal(422, "Price not understood"),
    "bad_quantity": Refusal(422, "Quantity not understood"),
    "ambiguous_number": Refusal(422, "A number with two readings"),
    "missing_sl": Refusal(422, "No stop loss"),
    "duplicate_sl": Refusal(422, "Two stop losses"),
    "missing_tp": Refusal(422, "No take profit"),
    "too_many_targets": Refusal(422, "Too many take profits"),
    "sl_wrong_side": Refusal(422, "Stop loss on the wrong side"),
    "tp_wrong_side": Refusal(422, "Take profit on the wrong side"),
    "implausible_level": Refusal(422, "Implausible level"),
    "relative_price": Refusal(422, "Relative price"),
    "no_entry_for_pending": Refusal(422, "LIMIT or STOP without a price"),
    "conflicting_order_type": Refusal(422, "Two order types"),
    "multiple_entries": Refusal(422, "Two entries"),
    "multiple_signals": Refusal(422, "Several signals in one text"),
    "management": Refusal(422, "A message about an open trade"),
    "commentary": Refusal(422, "Commentary, not a signal"),
    "unsupported": Refusal(422, "Format not supported"),
    "unsupported_json": Refusal(422, "JSON not supported"),
    "bad_simulation": Refusal(422, "Simulation directive not understood"),
    "malformed_json": Refusal(400, "Malformed JSON"),
    "not_utf8": Refusal(400, "Not UTF-8"),
    "missing_signal": Refusal(400, "No signal in the JSON"),
    "too_large": Refusal(413, "Signal too large"),
}

# What the service can say of a request.
SERVICE_REFUSALS: Final = {
    "bad_request": Refusal(400, "Bad request"),
    "bad_cursor": Refusal(400, "Cursor not understood"),
    "unauthenticated": Refusal(401, "No credential"),
    "mistyped_key": Refusal(401, "Mistyped API key"),
    "unknown_key": Refusal(401, "Unknown API key"),
    "expired_key": Refusal(401, "Expired API key"),
    "revoked_key": Refusal(401, "Revoked API key"),
    "unknown_hook": Refusal(401, "Unknown hook"),
    "bad_signature": Refusal(401, "Signature does not match"),
    "bad_ticket": Refusal(401, "Ticket spent or unknown"),
    "bad_csrf": Refusal(403, "CSRF token missing or wrong"),
    "bad_origin": Refusal(403, "Foreign origin"),
    "missing_scope": Refusal(403, "Key without the scope"),
    "registration_closed": Refusal(403, "Registration is closed"),
    "not_found": Refusal(404, "Not found"),
    "method_not_allowed": Refusal(405, "Method not allowed"),
    "idempotency_in_flight": Refusal(409, "The first request is still running"),
    "illegal_transition": Refusal(409, "The order has moved on"),
    "username_taken": Refusal(409, "Username taken"),
    "broker_account_taken": Refusal(409, "Broker account taken"),
    "idempotency_mismatch": Refusal(422, "Idempotency key used for another body"),
    "invalid_request": Refusal(422, "Invalid request"),
    "too_many_requests": Refusal(429, "Too many requests"),
    "too_many_streams": Refusal(429, "Too many streams"),
    "internal": Refusal(500, "Internal error"),
    "unavailable": Refusal(503, "Temporarily unavailable"),
}

REFUSALS: Final[Mapping[str, Refusal]] = MappingProxyType(GRAMMAR_REFUSALS | SERVICE_REFUSALS)


class SignalHubError(Exception):
    """A refusal on its way out. `code` is a row of REFUSALS; `retry_after` is in seconds."""

    def __init__(
        self, code: str, detail: str = "", *, problems: tuple[Problem, ...] = (), retry_after_s: int | None = None
    ) -> None:
        self.refusal = REFUSALS[code]
        self.code = code
        self.detail = detail or self.refusal.title + "."
        self.problems = problems
        self.retry_after_s = retry_after_s
        super().__init__(f"{code}: {self.detail}")
