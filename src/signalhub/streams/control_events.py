"""Build the control events of a stream: where it begins, which events are missing, when to come back."""

from random import SystemRandom

from signalhub.domain.errors import SignalHubError
from signalhub.protocol import Full, Gap, Heartbeat, Ready, Replaced, Reset, Unavailable
from signalhub.streams.account_channel import PrunedRange
from signalhub.streams.subscription import Subscription

Refusal = Full | Replaced | Unavailable
ControlEvent = Ready | Reset | Gap | Heartbeat | Refusal

_random = SystemRandom()


def build_opening(subscription: Subscription, heartbeat_s: float) -> list[ControlEvent]:
    epoch, seq, head = subscription.epoch, subscription.seq, subscription.head
    events: list[ControlEvent] = [Ready(epoch, seq, head, heartbeat_s)]
    if subscription.start_position.reset_reason is not None:
        events.append(Reset(epoch, seq, head, subscription.start_position.reset_reason))
    return events


def build_heartbeat(subscription: Subscription) -> Heartbeat:
    return Heartbeat(subscription.epoch, subscription.seq)


def build_refusal(error: Exception) -> Full | Unavailable | None:
    """Return what to send in place of a stream for a refusal that passes; None for one that is permanent."""
    if not isinstance(error, SignalHubError):
        return Unavailable(choose_retry_ms(), "The database cannot be reached.")
    if error.code == "too_many_streams":
        return Full(choose_long_retry_ms(), error.detail)
    return Unavailable(choose_retry_ms(), error.detail) if error.code == "unavailable" else None


def build_replaced() -> Replaced:
    return Replaced(choose_long_retry_ms(), "A newer stream of this account took the place of this one.")


def choose_retry_ms() -> int:
    """Return a delay with jitter, or all clients that were disconnected together would reconnect together."""
    return _random.randint(800, 2200)


def choose_long_retry_ms() -> int:
    """Return the delay for clients that share too few streams: each return may replace another of them."""
    return _random.randint(3000, 6000)


def build_gap(epoch: str, pruned_range: PrunedRange) -> Gap:
    return Gap(epoch, pruned_range.first_seq, pruned_range.last_seq)
