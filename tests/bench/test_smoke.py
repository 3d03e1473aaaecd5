"""Each benchmark runs, briefly: its figures mean nothing here, only that it still measures."""

import pytest

from tests.bench import ingest, latency, lifecycle
from tests.bench.fanout_audience import Audience
from tests.bench.fanout_sides import ROOMS, service
from tests.bench.fanout_window import window
from tests.kit.hub import Hub
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
    await lifecycle.claims((await servers.settings()).database_url, 200, 400)
    assert "claim with 400 / with 200 = " in capsys.readouterr().out


@pytest.mark.parametrize("room", ROOMS)
async def test_the_fan_out_is_measured(hub: Hub, room: str) -> None:
    async with service(hub.settings, hub.web.popen.pid) as side:
        with Audience(side.port, side.requests[room], 5, side.greeting) as audience:
            figures = await window(side, room, audience, rate=50, seconds=0.2)
    assert figures.share == 1
    assert 0 < figures.p50_ms <= figures.p99_ms < 5000
