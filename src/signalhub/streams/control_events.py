"""What a stream says of itself, beside the events: where it begins, that it had to begin elsewhere, what is missing."""

import msgspec

from signalhub.streams.channel import PrunedRange
from signalhub.streams.subscription import Subscription

SNAPSHOT_PATH = "/api/v1/orders"


class Ready(msgspec.Struct, frozen=True, tag="stream.ready", tag_field="type"):
    """The first word: `seq` is where this stream begins (after it), `head` where the log ends now."""

    epoch: str
    seq: int
    head: int


class Reset(msgspec.Struct, frozen=True, tag="stream.reset", tag_field="type"):
    """The cursor could not be followed: go on from `seq`, after loading `snapshot`."""

    epoch: str
    seq: int
    head: int
    reason: str
    snapshot: str = SNAPSHOT_PATH


class Pruned(msgspec.Struct, frozen=True, tag="stream.gap", tag_field="type"):
    """Events `first` to `last` are no longer kept."""

    epoch: str
    first: int
    last: int
    snapshot: str = SNAPSHOT_PATH


class Heartbeat(msgspec.Struct, frozen=True, tag="stream.heartbeat", tag_field="type"):
    """Nothing is new. `seq` may have moved all the same, past events that a filter hides."""

    epoch: str
    seq: int


ControlEvent = Ready | Reset | Pruned | Heartbeat


def build_opening(subscription: Subscription) -> list[ControlEvent]:
    epoch, seq, head = subscription.epoch, subscription.seq, subscription.head
    notices: list[ControlEvent] = [Ready(epoch, seq, head)]
    if subscription.start_position.reset_reason is not None:
        notices.append(Reset(epoch, seq, head, subscription.start_position.reset_reason))
    return notices


def build_heartbeat(subscription: Subscription) -> Heartbeat:
    return Heartbeat(subscription.epoch, subscription.seq)


def build_gap(epoch: str, pruned_range: PrunedRange) -> Pruned:
    return Pruned(epoch, pruned_range.first_seq, pruned_range.last_seq)
