"""Many subscribers at once, briefly: `run.py stream`, `storm` and `stuck` are the long forms."""

import pytest

from tests.faults import flood, overload, poison, random_faults, reconnect_burst, slow_readers, soak
from tests.kit.load_subscribers import Subscriber, SubscriberBehavior
from tests.kit.stack import Stack


@pytest.mark.fault
async def test_subscribers_receive_each_event_once_during_faults(stack: Stack) -> None:
    plan = flood.FloodPlan(
        subscriber_count=30, events_per_second=20, duration_s=1.6, mean_cut_interval_s=0.5, web_kill_interval_s=1.0
    )
    report = await flood.run(stack, plan)
    assert report.is_complete
    assert report.cuts > 10
    assert report.deliveries == 30 * (1 + 20 * 1.6)


@pytest.mark.fault
async def test_reconnect_burst_catches_up_with_few_database_reads(stack: Stack) -> None:
    report = await reconnect_burst.run(stack, reconnect_burst.ReconnectPlan(subscriber_count=50, duration_s=2.0))
    assert report.delivery.is_complete
    assert report.catch_up_s < 10
    assert report.database_reads_per_second <= 1


@pytest.mark.fault
async def test_stalled_readers_are_closed_and_miss_nothing(stack: Stack) -> None:
    report = await slow_readers.run(
        stack,
        slow_readers.SlowReaderPlan(
            subscriber_count=10, stalled_count=3, phase_s=0.6, buffer_fill_s=2.6, log_bytes=6_000_000
        ),
    )
    assert report.delivery.is_complete
    assert report.slow_closes >= 3
    assert report.memory_growth_mb < 8  # imprecise with few readers: the server itself grows too


@pytest.mark.fault
async def test_random_faults_lose_nothing(stack: Stack) -> None:
    plan = random_faults.RandomFaultPlan(
        duration_s=3.0, signals_per_second=60, pause_before_fault_s=0.5, seed=3, account_count=2, timeout_s=40
    )
    report = await random_faults.run(stack, plan)
    assert report.violations == {}
    assert report.acknowledged == report.orders == 180
    assert report.delivery.deliveries == 2 * (2 + 4 * 180)  # each account's creation, four events of each order
    assert report.faults


async def test_soak_reports_the_memory_of_each_process(stack: Stack) -> None:
    plan = soak.SoakPlan(duration_s=2.0, warm_up_s=0.5, signals_per_second=30, sample_interval_s=0.2)
    report = await soak.run(stack, plan)
    assert report.signals > 10  # fewer than planned on a machine that is busy
    assert report.unanswered == 0
    assert {trend.process.partition(" ")[0] for trend in report.trends} == {"web", "worker"}
    assert all(10 < trend.last_mb < 500 for trend in report.trends)


def test_delivery_report_counts_wrong_deliveries() -> None:
    log = [hash(b"one"), hash(b"two"), hash(b"three"), hash(b"four")]
    subscriber = Subscriber(("", 0), "", "", SubscriberBehavior())
    for body, seq in ((b"one", b"1"), (b"three", b"3"), (b"two", b"2"), (b"two", b"2"), (b"another's", b"9")):
        subscriber.record_event(body, seq)
    counts = flood.compare_with_log(subscriber, log)
    assert {name: counts[name] for name in ("missing", "repeated", "disordered", "foreign")} == {
        "missing": 1, "repeated": 1, "disordered": 1, "foreign": 1,
    }  # fmt: skip


@pytest.mark.fault
async def test_every_request_of_an_overload_is_answered(stack: Stack) -> None:
    phases = await overload.run(
        stack, overload.OverloadPlan(duration_s=1.0, multiples=(2.0,), connections=(400,), warm_up_s=0.3)
    )
    assert [phase.without_answer for phase in phases] == [0, 0]
    assert all(phase.accepted > 0 for phase in phases)


@pytest.mark.fault
async def test_poison_ends_and_delays_no_other_order(stack: Stack) -> None:
    with stack.run_worker_with(retry_base_s=0.05, retry_cap_s=0.1):
        report = await poison.run(stack, poison.PoisonPlan(signals_per_second=30, phase_s=1.5, poison_share=0.2))
    assert report.unfinished == 0
    assert report.reasons == {"closed": 2, "broker_fault": 2, "unreadable": 2}
