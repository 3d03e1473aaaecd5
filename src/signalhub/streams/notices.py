"""What a stream says of itself, beside the events: where it begins, that it had to begin elsewhere, what is missing."""

import msgspec

from signalhub.streams.channel import Gap
from signalhub.streams.subscription import Subscription

SNAPSHOT = "/api/v1/orders"


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
    snapshot: str = SNAPSHOT


class Pruned(msgspec.Struct, frozen=True, tag="stream.gap", tag_field="type"):
    """Events `first` to `last` are no longer kept."""

    epoch: str
    first: int
    last: int
    snapshot: str = SNAPSHOT


class Heartbeat(msgspec.Struct, frozen=True, tag="stream.heartbeat", tag_field="type"):
    """Nothing is new. `seq` may have moved all the same, past events that a filter hides."""

    epoch: str
    seq: int


Notice = Ready | Reset | Pruned | Heartbeat


def opening(subscription: Subscription) -> list[Notice]:
    epoch, seq, head = subscription.epoch, subscription.seq, subscription.head
    notices: list[Notice] = [Ready(epoch, seq, head)]
    if subscription.start.reset is not None:
        notices.append(Reset(epoch, seq, head, subscription.start.reset))
    return notices


def heartbeat(subscription: Subscription) -> Heartbeat:
    return Heartbeat(subscription.epoch, subscription.seq)


def pruned(epoch: str, gap: Gap) -> Pruned:
    return Pruned(epoch, gap.first, gap.last)
