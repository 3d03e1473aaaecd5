"""Run each benchmark briefly; its window mean nothing here."""

import pytest

from tests.bench import ingest, latency, lifecycle
from tests.bench.fanout_measurement import measure_window
from tests.bench.fanout_servers import TRANSPORTS, run_signalhub
from tests.bench.fanout_subscribers import SubscriberPool
from tests.kit.running_app import RunningApp
from tests.kit.servers import Servers


def test_ingest_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    ingest.main(rounds=1, seconds=0.3, connections=8)
    printed = capsys.readouterr().out
    assert "signalhub / plain session = " in printed
    assert all(f"| {name}" in printed for name in ("signalhub", "plain session", "empty handler"))


def test_latency_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    latency.main(signals=3, quiet_s=0.1, installations=1)
    assert "| 3 " in capsys.readouterr().out


async def test_claim_benchmark_runs(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    await lifecycle.measure_claims((await servers.create_settings()).database_url, 200, 400)
    assert "claim with 400 / with 200 = " in capsys.readouterr().out


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_fanout_benchmark_runs(app: RunningApp, transport: str) -> None:
    async with run_signalhub(app.settings, app.web.popen.pid) as server:
        with SubscriberPool(
            server.port, server.requests_by_transport[transport], 5, server.ready_marker
        ) as subscribers:
            window = await measure_window(server, transport, subscribers, rate=50, duration_s=0.2)
    assert window.delivered_fraction == 1
    assert 0 < window.p50_ms <= window.p99_ms < 5000
