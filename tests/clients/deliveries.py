"""Compare the messages that a client handed to its user with the account's log."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tests.kit.sequence_faults import compare_sequence


class DeliveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """`blank_count` are messages without data, `garbled_count` messages that are no event as the log has it."""

    event_count: int
    missing_count: int
    repeated_count: int
    disordered_count: int
    blank_count: int
    garbled_count: int

    @property
    def is_exact(self) -> bool:
        _, *fault_counts = msgspec.structs.astuple(self)
        return not any(fault_counts)


class Delivery:
    """The messages of one client, in the order in which it handed them on."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.control_types: Counter[str] = Counter()
        self.blank_count = self.garbled_count = 0

    @property
    def last_seq(self) -> int:
        return int(self.events[-1]["seq"]) if self.events else 0

    def record(self, data: str) -> None:
        """Record the data of one message: the JSON of an event, or of a control event."""
        if not data.strip():
            self.blank_count += 1
            return
        try:
            message = msgspec.json.decode(data)
            is_control_event = message["type"].startswith("stream.")
        except (msgspec.MsgspecError, KeyError, TypeError):
            self.garbled_count += 1
            return
        if is_control_event:
            self.control_types[message["type"]] += 1
        else:
            self.events.append(message)

    def compare_with_log(self, log: Iterable[Mapping[str, Any]]) -> DeliveryReport:
        events_by_seq = {event["seq"]: event for event in log}
        faults = compare_sequence([event["seq"] for event in self.events], events_by_seq.keys())
        return DeliveryReport(
            event_count=len(self.events),
            missing_count=faults.missing,
            repeated_count=faults.repeated,
            disordered_count=faults.disordered,
            blank_count=self.blank_count,
            garbled_count=self.garbled_count + sum(event != events_by_seq.get(event["seq"]) for event in self.events),
        )
