"""Build the control events of a stream: where it begins, that it had to begin elsewhere, which events are missing."""

from signalhub.protocol import Gap, Heartbeat, Ready, Reset, Unavailable
from signalhub.streams.account_channel import PrunedRange
from signalhub.streams.subscription import Subscription

ControlEvent = Ready | Reset | Gap | Heartbeat | Unavailable


def build_opening(subscription: Subscription, heartbeat_s: float) -> list[ControlEvent]:
    epoch, seq, head = subscription.epoch, subscription.seq, subscription.head
    events: list[ControlEvent] = [Ready(epoch, seq, head, heartbeat_s)]
    if subscription.start_position.reset_reason is not None:
        events.append(Reset(epoch, seq, head, subscription.start_position.reset_reason))
    return events


def build_heartbeat(subscription: Subscription) -> Heartbeat:
    return Heartbeat(subscription.epoch, subscription.seq)


def build_gap(epoch: str, pruned_range: PrunedRange) -> Gap:
    return Gap(epoch, pruned_range.first_seq, pruned_range.last_seq)
