"""What the intake takes and what it gives back."""

import msgspec

from signalhub.domain.errors import Problem
from signalhub.domain.signal import Signal, SignalView


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One text on its way in. `signal` is None where the grammar refused it; `problems` says why."""

    account_id: str
    credential_id: str
    hook_id: str | None = None
    raw: bytes
    fingerprint: bytes
    signal: Signal | None
    problems: tuple[Problem, ...] = ()
    idempotency_key: str | None = None
    duplicate_window_s: int = 0
    simulate: str | None = None
    trace_id: str


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every 2xx, in the order of the contract. `seq` is the `order.pending` event's."""

    message: str = "Signal received and processed successfully."
    info: str
    signal_id: str
    order_id: str
    status: str
    duplicate: bool
    seq: int
    trace_id: str
    signal: SignalView
