"""Each benchmark runs, briefly: its figures mean nothing here, only that it still measures."""

import pytest

from tests.bench import ingest, latency, lifecycle
from tests.bench.fanout_audience import SubscriberPool
from tests.bench.fanout_sides import TRANSPORTS, run_signalhub
from tests.bench.fanout_window import measure_window
from tests.kit.hub import RunningApp
from tests.kit.servers import Servers


def test_the_door_is_measured_beside_two_others(capsys: pytest.CaptureFixture[str]) -> None:
    ingest.main(rounds=1, seconds=0.3, connections=8)
    printed = capsys.readouterr().out
    assert "signalhub / plain session = " in printed
    assert all(f"| {name}" in printed for name in ("signalhub", "plain session", "empty handler"))


def test_the_way_to_the_stream_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    latency.main(signals=3, quiet_s=0.1, installations=1)
    assert "| 3 " in capsys.readouterr().out


async def test_a_claim_among_many_orders_is_measured(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    await lifecycle.measure_claims((await servers.create_settings()).database_url, 200, 400)
    assert "claim with 400 / with 200 = " in capsys.readouterr().out


@pytest.mark.parametrize("room", TRANSPORTS)
async def test_the_fan_out_is_measured(hub: RunningApp, room: str) -> None:
    async with run_signalhub(hub.settings, hub.web.popen.pid) as side:
        with SubscriberPool(side.port, side.requests_by_transport[room], 5, side.ready_marker) as audience:
            figures = await measure_window(side, room, audience, rate=50, duration_s=0.2)
    assert figures.delivered_fraction == 1
    assert 0 < figures.p50_ms <= figures.p99_ms < 5000
