"""From a submission to what will be written: pure, so that one transaction can do it for a whole batch."""

from datetime import datetime, timedelta
from typing import Any, Self

import msgspec

from db.bulk import hexed
from signalhub.domain.errors import REFUSALS, Problem, SignalHubError
from signalhub.domain.events import Event, Fact, order_fact
from signalhub.domain.order import Order
from signalhub.domain.signal import OrderType, Signal, SignalView, describe, view
from signalhub.services.submission import Answer, Submission
from signalhub.settings import Settings

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


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One submission, decided. Without an `order` it is a refusal."""

    submission: Submission
    signal_id: str
    order: Order | None
    said: AcceptedData | RejectedData
    facts: tuple[Fact, ...]

    def answer(self, events: list[Event]) -> Answer:
        """The body of the 2xx, once the facts have their places in the log."""
        if self.order is None or isinstance(self.said, RejectedData):
            raise TypeError("a refusal has no answer")
        return Answer(
            info=self.said.info,
            signal_id=self.signal_id,
            order_id=self.order.id,
            status=self.order.status,
            duplicate=False,
            seq=events[-1].seq,
            trace_id=self.submission.trace_id,
            signal=self.said.signal,
        )

    def row(self, answer: bytes) -> dict[str, Any]:
        """The `signals` row."""
        sent = self.submission
        return {
            "id": self.signal_id,
            "account_id": sent.account_id,
            "credential_id": sent.credential_id,
            "hook_id": sent.hook_id,
            "is_accepted": self.order is not None,
            "raw": hexed(sent.raw),
            "fingerprint": hexed(sent.fingerprint),
            # A refusal leaves its key free: the sender may mend the text and send it again under the same key.
            "idempotency_key": sent.idempotency_key if self.order is not None else None,
            "answer": answer.decode(),
            "trace_id": sent.trace_id,
        }


class Placing(msgspec.Struct, frozen=True):
    """How orders are placed here: the mock broker's profile, and how long an entry may wait for its price."""

    profile: str
    expiry: timedelta | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.broker_profile, timedelta(seconds=settings.order_expiry_s))


def draft(submission: Submission, ids: tuple[str, str], placing: Placing, now: datetime) -> Draft:
    """Decide a submission at `now`; `ids` are the signal's and the order's."""
    signal_id, order_id = ids
    if submission.signal is None:
        refused = _refused(submission)
        return Draft(
            submission=submission,
            signal_id=signal_id,
            order=None,
            said=refused,
            facts=(_fact("signal.rejected", submission, refused, signal_id),),
        )
    order = Order(
        id=order_id,
        account_id=submission.account_id,
        signal_id=signal_id,
        trace_id=submission.trace_id,
        terms=submission.signal,
        profile=placing.profile,
        simulate=submission.simulate,
        expires_at=_expiry(submission.signal, placing, now),
        created_at=now,
        updated_at=now,
    )
    terms = order.terms
    said = AcceptedData(describe(terms), _readable(submission.raw), submission.credential_id, view(terms))
    facts = (
        _fact("signal.accepted", submission, said, signal_id, order_id),
        order_fact("order.pending", order),
    )
    return Draft(submission=submission, signal_id=signal_id, order=order, said=said, facts=facts)


def _expiry(signal: Signal, placing: Placing, now: datetime) -> datetime | None:
    """Only an entry that waits for a price can wait for too long."""
    if placing.expiry is None or signal.order_type is OrderType.MARKET:
        return None
    return now + placing.expiry


def refusal(problems: tuple[Problem, ...]) -> SignalHubError:
    """The error a sender gets for these problems: the first one speaks, all are listed."""
    return SignalHubError(problems[0].code, _sentence(problems[0]), problems=problems)


def _sentence(problem: Problem) -> str:
    title = REFUSALS[problem.code].title
    return f"{title}: {problem.hint}" if problem.hint else f"{title}."


def _refused(submission: Submission) -> RejectedData:
    first = submission.problems[0]
    return RejectedData(
        first.code, _sentence(first), _readable(submission.raw), submission.credential_id, submission.problems
    )


def _fact(
    type_: str,
    submission: Submission,
    data: AcceptedData | RejectedData,
    signal_id: str,
    order_id: str | None = None,
) -> Fact:
    return Fact(
        type=type_,
        account_id=submission.account_id,
        data=data,
        order_id=order_id,
        signal_id=signal_id,
        trace_id=submission.trace_id,
    )


def _readable(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
