"""Check the invariants of a run: compare what clients observed with the event log in the database.

The check uses two pure parts of the service, which are the specification itself: the table of legal moves and the
rule of the hash chain.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from signalhub.domain.events import chain_hash
from signalhub.domain.order import OPEN, TRANSITIONS, Status
from tests.kit.database_snapshot import DatabaseSnapshot, LoggedEvent
from tests.kit.observations import AnswerObserved, ConnectionLost, ControlEventObserved, EventObserved, Observation

_MAX_EXAMPLES = 5


class InvariantReport(msgspec.Struct, frozen=True, kw_only=True):
    """`violations` is empty after a good run. The other fields are figures of the run."""

    violations: tuple[str, ...]
    acknowledged_count: int
    unavailable_count: int
    lost_connection_count: int
    order_count: int
    lost_count: int
    duplicate_count: int
    slowest_refusal_s: float
    lateness_s: tuple[float, ...]


def check_invariants(
    observations: Iterable[Observation], snapshot: DatabaseSnapshot, account_ids: Collection[str]
) -> InvariantReport:
    """Check the accounts of the run, whose subscribers all followed from the first event."""
    by_kind: dict[type[Observation], list[Any]] = defaultdict(list)
    for observation in observations:
        by_kind[type(observation)].append(observation)
    answers: list[AnswerObserved] = by_kind[AnswerObserved]
    acknowledged = [answer for answer in answers if answer.status < 300]
    unavailable = [answer for answer in answers if answer.status >= 500]
    lost, duplicates = _find_lost_signals(acknowledged, snapshot), _find_duplicate_orders(snapshot, account_ids)
    return InvariantReport(
        violations=(
            *_format_violation("I1 acknowledged and not stored", lost),
            *_format_violation("I1 more than one order", duplicates),
            *_format_violation("I1 order without its signal", snapshot.orphan_ids),
            *_format_violation("I2 not ended", _find_open_orders(snapshot, account_ids)),
            *_format_violation("I3 log", [text for id_ in account_ids for text in _find_log_violations(snapshot, id_)]),
            *_format_violation(
                "I4 I5 stream", _find_stream_violations(by_kind[EventObserved], by_kind[ControlEventObserved], snapshot)
            ),
            *_format_violation("I6 refused and yet stored", _find_stored_refusals(answers, snapshot)),
        ),
        acknowledged_count=len({answer.key for answer in acknowledged}),
        unavailable_count=len(unavailable),
        lost_connection_count=len(by_kind[ConnectionLost]),
        order_count=sum(order.account_id in account_ids for order in snapshot.orders.values()),
        lost_count=len(lost),
        duplicate_count=len(duplicates),
        slowest_refusal_s=max((answer.took_s for answer in unavailable), default=0.0),
        lateness_s=tuple(sorted(delay_s for id_ in account_ids for delay_s in snapshot.compute_lateness_s(id_))),
    )


def find_secret_leaks(paths: Iterable[Path], secrets: Collection[str]) -> list[str]:
    """I7: return the names of the files that contain a secret."""
    texts = {path: path.read_bytes() for path in paths}
    return [path.name for path, text in texts.items() if any(secret.encode() in text for secret in secrets)]


def _format_violation(label: str, examples: Sequence[str]) -> list[str]:
    return [f"{label} ({len(examples)}): {', '.join(examples[:_MAX_EXAMPLES])}"] if examples else []


def _find_lost_signals(acknowledged: Sequence[AnswerObserved], snapshot: DatabaseSnapshot) -> list[str]:
    """Return acknowledged signals without an order, or with the order of another signal."""
    return [
        answer.key
        for answer in acknowledged
        if (order := snapshot.orders.get(answer.body["order_id"])) is None or order.key != answer.key
    ]


def _find_duplicate_orders(snapshot: DatabaseSnapshot, account_ids: Collection[str]) -> list[str]:
    order_counts = Counter(
        (order.account_id, order.key) for order in snapshot.orders.values() if order.account_id in account_ids
    )
    return [str(key) for (_, key), count in order_counts.items() if count > 1]


def _find_open_orders(snapshot: DatabaseSnapshot, account_ids: Collection[str]) -> list[str]:
    return [
        f"{order.id} {order.status}"
        for order in snapshot.orders.values()
        if order.account_id in account_ids and order.status in OPEN
    ]


def _find_log_violations(snapshot: DatabaseSnapshot, account_id: str) -> list[str]:
    """Check that numbers have no gap, the hash chain holds and each order made only legal moves."""
    lines, head = snapshot.event_logs[account_id], snapshot.heads[account_id]
    faults, digest = [], b""
    for expected_seq, line in enumerate(lines, 1):
        digest = chain_hash(digest, line.body.encode())
        if line.seq != expected_seq or line.hash != digest:
            faults.append(f"{account_id}/{line.seq}: out of place or changed")
    if (head.seq, head.hash) != (len(lines), digest):
        faults.append(f"{account_id}: the head says {head.seq}, the log has {len(lines)}")
    events_by_order: dict[str, list[LoggedEvent]] = defaultdict(list)
    for line in lines:
        if line.type.startswith("order.") and line.order_id is not None:
            events_by_order[line.order_id].append(line)
    return faults + [
        f"{id_}: {fault}" for id_, events in events_by_order.items() if (fault := _check_order_events(events))
    ]


def _check_order_events(events: Sequence[LoggedEvent]) -> str | None:
    states = [msgspec.json.decode(line.body)["data"] for line in events]
    moves = set(pairwise(Status(state["status"]) for state in states))
    versions = [state["version"] for state in states]
    types = [line.type for line in events]
    is_legal = events[0].type == "order.pending" and moves <= TRANSITIONS
    once = all(count == 1 for type_, count in Counter(types).items() if type_ != "order.retrying")
    return None if is_legal and once and versions == list(range(1, len(events) + 1)) else f"{types} {versions}"


def _find_stream_violations(
    observed_events: Sequence[EventObserved], control_events: Sequence[ControlEventObserved], snapshot: DatabaseSnapshot
) -> list[str]:
    """Check that the sessions of each subscriber, joined, are the log of the account, without reset or gap."""
    sessions: dict[tuple[str, str], list[EventObserved]] = defaultdict(list)
    for event in observed_events:
        sessions[event.subscriber, event.account_id].append(event)
    faults = [
        f"{control.subscriber} was told {control.body}"
        for control in control_events
        if control.event_type in {"stream.reset", "stream.gap"}
    ]
    for (subscriber, account_id), events in sessions.items():
        log = snapshot.event_logs[account_id]
        if [event.seq for event in events] != [line.seq for line in log]:
            faults.append(f"{subscriber} of {account_id} saw {_describe_first_difference(events, log)}")
        bodies: Mapping[int, str] = {line.seq: line.body for line in log}
        faults += [f"{subscriber} saw another {event.seq}" for event in events if bodies.get(event.seq) != event.body]
    return faults


def _describe_first_difference(observed_events: Sequence[EventObserved], log: Sequence[LoggedEvent]) -> str:
    for index, (event, line) in enumerate(zip(observed_events, log, strict=False)):
        if event.seq != line.seq:
            return f"{event.seq} in the place of {line.seq} (the {index + 1}th)"
    return f"{len(observed_events)} events of {len(log)}"


def _find_stored_refusals(answers: Sequence[AnswerObserved], snapshot: DatabaseSnapshot) -> list[str]:
    """Return refused signals that have an order. After a 409 an order is right: the first request was still running."""
    refused = {
        (answer.account_id, answer.key) for answer in answers if 400 <= answer.status < 500 and answer.status != 409
    }
    return [str(order.key) for order in snapshot.orders.values() if (order.account_id, order.key) in refused]
