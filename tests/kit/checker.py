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

from signalhub.domain.events import chain
from signalhub.domain.order import OPEN, TRANSITIONS, Status
from tests.kit.ledger import Ledger, Line
from tests.kit.observations import Answered, Cut, Observation, Saw, Told

_SHOWN = 5


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`faults` is empty after a good run. The rest is for the table."""

    faults: tuple[str, ...]
    acknowledged: int
    unavailable: int
    cut: int
    orders: int
    lost: int
    doubled: int
    slowest_refusal_s: float
    lateness_s: tuple[float, ...]


def judge(seen: Iterable[Observation], ledger: Ledger, accounts: Collection[str]) -> Verdict:
    """`accounts` are those that took part in the run; every subscriber of theirs followed from the first event."""
    by_kind: dict[type[Observation], list[Any]] = defaultdict(list)
    for one in seen:
        by_kind[type(one)].append(one)
    answers: list[Answered] = by_kind[Answered]
    good = [one for one in answers if one.status < 300]
    busy = [one for one in answers if one.status >= 500]
    lost, doubled = _lost(good, ledger), _doubled(ledger, accounts)
    return Verdict(
        faults=(
            *_some("I1 acknowledged and not stored", lost),
            *_some("I1 more than one order", doubled),
            *_some("I1 order without its signal", ledger.strays),
            *_some("I2 not ended", _open(ledger, accounts)),
            *_some("I3 log", [text for id_ in accounts for text in _log_faults(ledger, id_)]),
            *_some("I4 I5 stream", _stream_faults(by_kind[Saw], by_kind[Told], ledger)),
            *_some("I6 refused and yet stored", _stored_refusals(answers, ledger)),
        ),
        acknowledged=len({one.key for one in good}),
        unavailable=len(busy),
        cut=len(by_kind[Cut]),
        orders=sum(order.account_id in accounts for order in ledger.orders.values()),
        lost=len(lost),
        doubled=len(doubled),
        slowest_refusal_s=max((one.took_s for one in busy), default=0.0),
        lateness_s=tuple(sorted(late for id_ in accounts for late in ledger.lateness_s(id_))),
    )


def leaks(files: Iterable[Path], secrets: Collection[str]) -> list[str]:
    """I7: the files in which a secret stands."""
    texts = {path: path.read_bytes() for path in files}
    return [path.name for path, text in texts.items() if any(secret.encode() in text for secret in secrets)]


def _some(what: str, found: Sequence[str]) -> list[str]:
    return [f"{what} ({len(found)}): {', '.join(found[:_SHOWN])}"] if found else []


def _lost(good: Sequence[Answered], ledger: Ledger) -> list[str]:
    """Promises that the database knows nothing of, or knows otherwise."""
    return [
        one.key
        for one in good
        if one.body["order_id"] not in ledger.orders or ledger.orders[one.body["order_id"]].key != one.key
    ]


def _doubled(ledger: Ledger, accounts: Collection[str]) -> list[str]:
    mine = Counter((order.account_id, order.key) for order in ledger.orders.values() if order.account_id in accounts)
    return [str(key) for (_, key), count in mine.items() if count > 1]


def _open(ledger: Ledger, accounts: Collection[str]) -> list[str]:
    return [
        f"{order.id} {order.status}"
        for order in ledger.orders.values()
        if order.account_id in accounts and order.status in OPEN
    ]


def _log_faults(ledger: Ledger, account_id: str) -> list[str]:
    """Numbers without a gap, an unbroken chain, and of each order one story that the table of moves allows."""
    lines, head = ledger.logs[account_id], ledger.heads[account_id]
    faults, digest = [], b""
    for place, line in enumerate(lines, 1):
        digest = chain(digest, line.body.encode())
        if line.seq != place or line.hash != digest:
            faults.append(f"{account_id}/{line.seq}: out of place or changed")
    if (head.seq, head.hash) != (len(lines), digest):
        faults.append(f"{account_id}: the head says {head.seq}, the log has {len(lines)}")
    stories: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.type.startswith("order.") and line.order_id is not None:
            stories[line.order_id].append(line)
    return faults + [f"{id_}: {fault}" for id_, story in stories.items() if (fault := _story_fault(story))]


def _story_fault(story: Sequence[Line]) -> str | None:
    states = [msgspec.json.decode(line.body)["data"] for line in story]
    moves = set(pairwise(Status(state["status"]) for state in states))
    versions = [state["version"] for state in states]
    told = [line.type for line in story]
    is_legal = story[0].type == "order.pending" and moves <= TRANSITIONS
    once = all(count == 1 for type_, count in Counter(told).items() if type_ != "order.retrying")
    return None if is_legal and once and versions == list(range(1, len(story) + 1)) else f"{told} {versions}"


def _stream_faults(saw: Sequence[Saw], told: Sequence[Told], ledger: Ledger) -> list[str]:
    """Each subscriber's sessions, one after the other, are the account's log - or it was told that they are not."""
    sessions: dict[tuple[str, str], list[Saw]] = defaultdict(list)
    for one in saw:
        sessions[one.subscriber, one.account_id].append(one)
    faults = [f"{one.subscriber} was told {one.body}" for one in told if one.what in {"stream.reset", "stream.gap"}]
    for (subscriber, account_id), got in sessions.items():
        log = ledger.logs[account_id]
        if [one.seq for one in got] != [line.seq for line in log]:
            faults.append(f"{subscriber} of {account_id} saw {_where_they_part(got, log)}")
        bodies: Mapping[int, str] = {line.seq: line.body for line in log}
        faults += [f"{subscriber} saw another {one.seq}" for one in got if bodies.get(one.seq) != one.body]
    return faults


def _where_they_part(got: Sequence[Saw], log: Sequence[Line]) -> str:
    for place, (one, line) in enumerate(zip(got, log, strict=False)):
        if one.seq != line.seq:
            return f"{one.seq} in the place of {line.seq} (the {place + 1}th)"
    return f"{len(got)} events of {len(log)}"


def _stored_refusals(answers: Sequence[Answered], ledger: Ledger) -> list[str]:
    """409 says that the first request is still running, so there an order is right."""
    refused = {(one.account_id, one.key) for one in answers if 400 <= one.status < 500 and one.status != 409}
    return [str(order.key) for order in ledger.orders.values() if (order.account_id, order.key) in refused]
