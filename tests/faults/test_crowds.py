"""Many subscribers at once, briefly: `run.py stream` and `run.py storm` are the long forms."""

import pytest

from tests.faults import flood, storm, stuck
from tests.kit.stack import Stack
from tests.kit.subscribers import Habits, Subscriber


@pytest.mark.fault
async def test_each_of_a_crowd_is_given_each_event_once_while_everything_breaks(stack: Stack) -> None:
    plan = flood.Flood(subscribers=30, rate=20, seconds=1.6, cut_s=0.5, web_kill_s=1.0)
    seen = await flood.run(stack, plan)
    assert seen.is_whole
    assert seen.cuts > 10
    assert seen.deliveries == 30 * (1 + 20 * 1.6)


@pytest.mark.fault
async def test_a_crowd_that_comes_back_at_once_catches_up_and_asks_the_database_little(stack: Stack) -> None:
    calm = await storm.run(stack, storm.Storm(subscribers=50, seconds=2.0))
    assert calm.sight.is_whole
    assert calm.caught_up_s < 10
    assert calm.reads_a_second <= 1


@pytest.mark.fault
async def test_readers_that_stop_are_cut_cost_little_and_miss_nothing(stack: Stack) -> None:
    cost = await stuck.run(stack, stuck.Jam(subscribers=10, stuck=3, seconds=0.6, filling_s=2.6, log_bytes=6_000_000))
    assert cost.sight.is_whole
    assert cost.slow_closes >= 3
    assert cost.growth_mb < 8  # of so few it says little: the server itself has grown


def test_what_a_subscriber_was_wrongly_given_is_seen() -> None:
    log = [hash(b"one"), hash(b"two"), hash(b"three"), hash(b"four")]
    subscriber = Subscriber(("", 0), "", "", Habits())
    for body, seq in ((b"one", b"1"), (b"three", b"3"), (b"two", b"2"), (b"two", b"2"), (b"another's", b"9")):
        subscriber.take(body, seq)
    found = flood.compared(subscriber, log)
    assert {name: found[name] for name in ("missing", "doubled", "disordered", "foreign")} == {
        "missing": 1, "doubled": 1, "disordered": 1, "foreign": 1,
    }  # fmt: skip
