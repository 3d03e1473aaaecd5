"""Wire names: messages in flight, rows in the log and client code carry them across a deploy.

A change here is a change of the contract: it needs a migration or a second name, never a rename.
"""

from typing import get_args

import dramatiq
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AsyncIO, TimeLimit
from msgspec.structs import astuple

from actors import declare
from signalhub import jobs
from signalhub.domain.events import EVENT_TYPES
from signalhub.domain.order import Move
from signalhub.redis_clients import RedisKeys
from signalhub.streams import control_events


class _RecordingActors:
    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    async def advance(self, order_ids: list[str]) -> None:
        self.calls.append(("advance", *order_ids))

    async def sweep(self) -> None:
        self.calls.append(("sweep",))


def _declare_actors(actors: _RecordingActors) -> StubBroker:
    broker = StubBroker(middleware=[AsyncIO(), TimeLimit()])
    declare(broker, actors)
    return broker


def test_actor_and_queue_names_are_fixed() -> None:
    broker = _declare_actors(_RecordingActors())
    declared = {(name, broker.get_actor(name).queue_name) for name in broker.get_declared_actors()}
    assert declared == {("orders.advance", "orders"), ("orders.sweep", "orders")}


def test_notifier_messages_match_the_actors() -> None:
    actors = _RecordingActors()
    broker = _declare_actors(actors)
    worker = dramatiq.Worker(broker, worker_timeout=10, worker_threads=1)
    worker.start()
    for message in (jobs.build_message(jobs.ADVANCE_ACTOR, ["a", "b"]), jobs.build_message(jobs.SWEEP_ACTOR)):
        broker.enqueue(message)
    broker.join(jobs.QUEUE_NAME)
    worker.stop()
    assert actors.calls == [("advance", "a", "b"), ("sweep",)]


def test_redis_keys_are_fixed() -> None:
    assert astuple(RedisKeys.for_installation("5eed")) == (
        "signalhub:5eed:events",
        "signalhub:5eed:jobs",
        "signalhub:5eed:wakeup",
        "signalhub:5eed:worker",
        "signalhub:5eed:write-check",
    )


def test_event_types_are_fixed() -> None:
    assert EVENT_TYPES == (
        "signal.accepted", "signal.rejected",
        "order.pending", "order.retrying", "order.executed", "order.partially_closed", "order.closed",
        "order.rejected", "order.cancelled", "order.expired",
        "account.created", "account.broker_added", "account.broker_removed",
        "key.created", "key.rotated", "key.revoked",
        "hook.created", "hook.rotated", "hook.revoked",
    )  # fmt: skip


def test_every_order_move_has_an_event_type() -> None:
    tags = {str(move.__struct_config__.tag) for move in get_args(Move)}
    assert tags <= set(EVENT_TYPES)
    assert len(tags) == len(get_args(Move))


def test_control_event_types_are_fixed() -> None:
    assert {str(event.__struct_config__.tag) for event in get_args(control_events.ControlEvent)} == {
        "stream.ready", "stream.reset", "stream.gap", "stream.heartbeat",
        "stream.full", "stream.replaced", "stream.unavailable",
    }  # fmt: skip
