"""Submissions, and the signal, order and events to store for each. No I/O: one transaction stores a whole batch."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self

import msgspec
from msgspec.structs import replace

from db.bulk import encode_bytea
from signalhub.domain import identifiers
from signalhub.domain.errors import ERRORS, Notice, Problem, SignalHubError, header_problem
from signalhub.domain.events import Event, NewEvent, order_event
from signalhub.domain.order import Order, Simulation
from signalhub.domain.signal import OrderType, Signal, SignalView, describe_signal, to_signal_view
from signalhub.grammar import Part
from signalhub.protocol import Accepted
from signalhub.settings import Settings


class SubmissionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says beside its text. `idempotency_header` is the header that the key came in, if it was one.

    `is_key_signed`: the key is the `webhook-id` of a signed hook. It counts for that hook alone, and once: a refusal
    uses it up too, or whoever has captured the request could send it again and again.
    """

    idempotency_key: str | None = None
    idempotency_header: str | None = None
    is_key_signed: bool = False
    simulate: str | None = None


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed text with its sender. `signal` is None if the text was refused; `problems` says why.

    `raw` has no secret of this service any more: `mask_submission` has replaced them.
    """

    account_id: str
    credential_id: str
    hook_id: str | None = None
    raw: bytes
    fingerprint: bytes
    signal: Signal | None
    problems: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] = ()
    idempotency_key: str | None = None
    idempotency_header: str | None = None
    is_key_signed: bool = False
    duplicate_window_s: int = 0
    simulation: Simulation | None = None
    trace_id: str

    @property
    def stored_key(self) -> str | None:
        """The key by which a resend is found in the account. No client can send one with a line break."""
        return f"{self.hook_id}\n{self.idempotency_key}" if self.is_key_signed else self.idempotency_key

    @property
    def is_key_used_up(self) -> bool:
        """Whether the key is stored. A refusal leaves an unsigned one free: the sender may correct the text."""
        return self.signal is not None or self.is_key_signed


_encode = msgspec.json.Encoder().encode


class AcceptedData(msgspec.Struct, frozen=True):
    """`data` of `signal.accepted`."""

    info: str
    raw: str
    credential_id: str
    signal: SignalView


class RejectedData(msgspec.Struct, frozen=True):
    """`data` of `signal.rejected`. `reason` is the first problem's code."""

    reason: str
    detail: str
    raw: str
    credential_id: str
    errors: tuple[Problem, ...]


class NewSignalRecords(msgspec.Struct, frozen=True, kw_only=True):
    """The signal, order and events to store for one submission. Without an `order` it is a refusal."""

    submission: Submission
    signal_id: str
    order: Order | None
    event_data: AcceptedData | RejectedData
    new_events: tuple[NewEvent, ...]

    def to_accepted(self, events: list[Event]) -> Accepted:
        """Return the body of the 2xx. `events` are the submission's, numbered."""
        if self.order is None or isinstance(self.event_data, RejectedData):
            raise TypeError("a refusal has no answer")
        return Accepted(
            info=self.event_data.info,
            signal_id=self.signal_id,
            order_id=self.order.id,
            status=self.order.status,
            duplicate=False,
            seq=events[-1].seq,
            trace_id=self.submission.trace_id,
            signal=self.event_data.signal,
            notices=self.submission.notices or msgspec.UNSET,
        )

    def to_row(self, stored_answer: bytes) -> dict[str, Any]:
        """Return the `signals` row."""
        submission = self.submission
        return {
            "id": self.signal_id,
            "account_id": submission.account_id,
            "credential_id": submission.credential_id,
            "hook_id": submission.hook_id,
            "is_accepted": self.order is not None,
            "raw": encode_bytea(submission.raw),
            "fingerprint": encode_bytea(submission.fingerprint),
            "idempotency_key": submission.stored_key if submission.is_key_used_up else None,
            "answer": stored_answer.decode(),
            "trace_id": submission.trace_id,
        }


class OrderDefaults(msgspec.Struct, frozen=True):
    """How orders are placed.

    `profile` is the mock broker's, `expires_after` limits the wait of an entry for its price, and `allow_simulation`
    lets senders force the outcome of an order.
    """

    profile: str
    expires_after: timedelta | None = None
    allow_simulation: bool = True

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            settings.broker.profile,
            expires_after=timedelta(seconds=settings.broker.order_expiry_s),
            allow_simulation=settings.web.simulate == "on",
        )


def build_records(
    submission: Submission, signal_and_order_ids: tuple[str, str], defaults: OrderDefaults, now: datetime
) -> NewSignalRecords:
    """Return what to store for a submission that is accepted or refused at `now`."""
    signal_id, order_id = signal_and_order_ids
    if submission.signal is None:
        rejected_data = _rejected_data(submission)
        return NewSignalRecords(
            submission=submission,
            signal_id=signal_id,
            order=None,
            event_data=rejected_data,
            new_events=(_new_event("signal.rejected", submission, rejected_data, signal_id),),
        )
    order = Order(
        id=order_id,
        account_id=submission.account_id,
        signal_id=signal_id,
        trace_id=submission.trace_id,
        terms=submission.signal,
        profile=defaults.profile,
        simulation=submission.simulation,
        expires_at=_expires_at(submission.signal, defaults, now),
        created_at=now,
        updated_at=now,
    )
    terms = order.terms
    accepted_data = AcceptedData(
        describe_signal(terms), _decode_raw(submission.raw), submission.credential_id, to_signal_view(terms)
    )
    new_events = (
        _new_event("signal.accepted", submission, accepted_data, signal_id, order_id),
        order_event("order.pending", order),
    )
    return NewSignalRecords(
        submission=submission, signal_id=signal_id, order=order, event_data=accepted_data, new_events=new_events
    )


def _expires_at(signal: Signal, defaults: OrderDefaults, now: datetime) -> datetime | None:
    """Return when the order expires. A market order does not wait for a price, so it never does."""
    if defaults.expires_after is None or signal.order_type is OrderType.MARKET:
        return None
    return now + defaults.expires_after


def to_refusal_error(problems: tuple[Problem, ...], notices: tuple[Notice, ...] = ()) -> SignalHubError:
    """Return the error for a refused submission: code and detail are those of its first problem."""
    return SignalHubError(problems[0].code, _problem_message(problems[0]), problems=problems, notices=notices)


def mask_submission(raw: bytes, options: SubmissionOptions) -> tuple[bytes, SubmissionOptions, tuple[Notice, ...]]:
    """Mask every secret of this service in the body and in the options, and return a notice of what was masked."""
    raw, credentials = identifiers.mask_secrets_in_bytes(raw)
    if options.idempotency_key or options.simulate:
        key, simulate = (identifiers.mask_secrets(text or "") for text in (options.idempotency_key, options.simulate))
        credentials += key.credentials + simulate.credentials
        options = replace(options, idempotency_key=key.text or None, simulate=simulate.text or None)
    return raw, options, identifiers.to_masking_notices(credentials)


def locate_option_problem(problem: Problem, header: str | None, parts: Sequence[Part], kind: str) -> Problem:
    """Return the problem of an option at its header, or else in the part of the text that the option came from."""
    if header is not None:
        return header_problem(header, problem)
    part = next((part for part in parts if part.kind == kind and part.length), None)
    if part is None:  # it came with a JSON wrapper, whose text alone has positions
        return problem
    offset = max(0, part.text.find(problem.text))
    return replace(
        problem,
        line=part.line,
        column=part.column + offset,
        length=problem.length or part.length,
        text=problem.text or part.text,
    )


def _problem_message(problem: Problem) -> str:
    title = ERRORS[problem.code].title
    return f"{title}: {problem.hint}" if problem.hint else f"{title}."


def _rejected_data(submission: Submission) -> RejectedData:
    first = submission.problems[0]
    return RejectedData(
        first.code, _problem_message(first), _decode_raw(submission.raw), submission.credential_id, submission.problems
    )


def _new_event(
    event_type: str,
    submission: Submission,
    data: AcceptedData | RejectedData,
    signal_id: str,
    order_id: str | None = None,
) -> NewEvent:
    return NewEvent(
        type=event_type,
        account_id=submission.account_id,
        data=data,
        order_id=order_id,
        signal_id=signal_id,
        trace_id=submission.trace_id,
    )


def _decode_raw(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
