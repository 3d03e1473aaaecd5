"""The verdict on a run: what clients observed, held against the log as the database has it.

It runs outside the service and uses none of its code but two pure things that are the specification itself: the table
of legal moves and the rule of the hash chain.
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
    """`faults` is empty after a good run. The rest is for the table."""

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
    """`accounts` are those that took part in the run; every subscriber of theirs followed from the first event."""
    by_kind: dict[type[Observation], list[Any]] = defaultdict(list)
    for one in observations:
        by_kind[type(one)].append(one)
    answers: list[AnswerObserved] = by_kind[AnswerObserved]
    good = [one for one in answers if one.status < 300]
    busy = [one for one in answers if one.status >= 500]
    lost, doubled = _find_lost_signals(good, snapshot), _find_duplicate_orders(snapshot, account_ids)
    return InvariantReport(
        violations=(
            *_format_violation("I1 acknowledged and not stored", lost),
            *_format_violation("I1 more than one order", doubled),
            *_format_violation("I1 order without its signal", snapshot.orphan_ids),
            *_format_violation("I2 not ended", _find_open_orders(snapshot, account_ids)),
            *_format_violation("I3 log", [text for id_ in account_ids for text in _find_log_violations(snapshot, id_)]),
            *_format_violation(
                "I4 I5 stream", _find_stream_violations(by_kind[EventObserved], by_kind[ControlEventObserved], snapshot)
            ),
            *_format_violation("I6 refused and yet stored", _find_stored_refusals(answers, snapshot)),
        ),
        acknowledged_count=len({one.key for one in good}),
        unavailable_count=len(busy),
        lost_connection_count=len(by_kind[ConnectionLost]),
        order_count=sum(order.account_id in account_ids for order in snapshot.orders.values()),
        lost_count=len(lost),
        duplicate_count=len(doubled),
        slowest_refusal_s=max((one.took_s for one in busy), default=0.0),
        lateness_s=tuple(sorted(late for id_ in account_ids for late in snapshot.compute_lateness_s(id_))),
    )


def find_secret_leaks(paths: Iterable[Path], secrets: Collection[str]) -> list[str]:
    """I7: the files in which a secret stands."""
    texts = {path: path.read_bytes() for path in paths}
    return [path.name for path, text in texts.items() if any(secret.encode() in text for secret in secrets)]


def _format_violation(label: str, examples: Sequence[str]) -> list[str]:
    return [f"{label} ({len(examples)}): {', '.join(examples[:_MAX_EXAMPLES])}"] if examples else []


def _find_lost_signals(acknowledged: Sequence[AnswerObserved], snapshot: DatabaseSnapshot) -> list[str]:
    """Promises that the database knows nothing of, or knows otherwise."""
    return [
        one.key
        for one in acknowledged
        if one.body["order_id"] not in snapshot.orders or snapshot.orders[one.body["order_id"]].key != one.key
    ]


def _find_duplicate_orders(snapshot: DatabaseSnapshot, account_ids: Collection[str]) -> list[str]:
    mine = Counter(
        (order.account_id, order.key) for order in snapshot.orders.values() if order.account_id in account_ids
    )
    return [str(key) for (_, key), count in mine.items() if count > 1]


def _find_open_orders(snapshot: DatabaseSnapshot, account_ids: Collection[str]) -> list[str]:
    return [
        f"{order.id} {order.status}"
        for order in snapshot.orders.values()
        if order.account_id in account_ids and order.status in OPEN
    ]


def _find_log_violations(snapshot: DatabaseSnapshot, account_id: str) -> list[str]:
    """Numbers without a gap, an unbroken chain, and of each order one story that the table of moves allows."""
    lines, head = snapshot.event_logs[account_id], snapshot.heads[account_id]
    faults, digest = [], b""
    for place, line in enumerate(lines, 1):
        digest = chain_hash(digest, line.body.encode())
        if line.seq != place or line.hash != digest:
            faults.append(f"{account_id}/{line.seq}: out of place or changed")
    if (head.seq, head.hash) != (len(lines), digest):
        faults.append(f"{account_id}: the head says {head.seq}, the log has {len(lines)}")
    stories: dict[str, list[LoggedEvent]] = defaultdict(list)
    for line in lines:
        if line.type.startswith("order.") and line.order_id is not None:
            stories[line.order_id].append(line)
    return faults + [f"{id_}: {fault}" for id_, story in stories.items() if (fault := _check_order_events(story))]


def _check_order_events(events: Sequence[LoggedEvent]) -> str | None:
    states = [msgspec.json.decode(line.body)["data"] for line in events]
    moves = set(pairwise(Status(state["status"]) for state in states))
    versions = [state["version"] for state in states]
    told = [line.type for line in events]
    is_legal = events[0].type == "order.pending" and moves <= TRANSITIONS
    once = all(count == 1 for type_, count in Counter(told).items() if type_ != "order.retrying")
    return None if is_legal and once and versions == list(range(1, len(events) + 1)) else f"{told} {versions}"


def _find_stream_violations(
    observed_events: Sequence[EventObserved], control_events: Sequence[ControlEventObserved], snapshot: DatabaseSnapshot
) -> list[str]:
    """Each subscriber's sessions, one after the other, are the account's log - or it was told that they are not."""
    sessions: dict[tuple[str, str], list[EventObserved]] = defaultdict(list)
    for one in observed_events:
        sessions[one.subscriber, one.account_id].append(one)
    faults = [
        f"{one.subscriber} was told {one.body}" for one in control_events if one.what in {"stream.reset", "stream.gap"}
    ]
    for (subscriber, account_id), got in sessions.items():
        log = snapshot.event_logs[account_id]
        if [one.seq for one in got] != [line.seq for line in log]:
            faults.append(f"{subscriber} of {account_id} saw {_describe_first_difference(got, log)}")
        bodies: Mapping[int, str] = {line.seq: line.body for line in log}
        faults += [f"{subscriber} saw another {one.seq}" for one in got if bodies.get(one.seq) != one.body]
    return faults


def _describe_first_difference(observed_events: Sequence[EventObserved], log: Sequence[LoggedEvent]) -> str:
    for place, (one, line) in enumerate(zip(observed_events, log, strict=False)):
        if one.seq != line.seq:
            return f"{one.seq} in the place of {line.seq} (the {place + 1}th)"
    return f"{len(observed_events)} events of {len(log)}"


def _find_stored_refusals(answers: Sequence[AnswerObserved], snapshot: DatabaseSnapshot) -> list[str]:
    """409 says that the first request is still running, so there an order is right."""
    refused = {(one.account_id, one.key) for one in answers if 400 <= one.status < 500 and one.status != 409}
    return [str(order.key) for order in snapshot.orders.values() if (order.account_id, order.key) in refused]
