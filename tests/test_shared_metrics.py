"""Metrics of several processes in one answer, from processes of their own: the library chooses its mode on import."""

import subprocess
import sys
from pathlib import Path

PREAMBLE = "from pathlib import Path; from signalhub import shared_metrics; shared_metrics.share_directory(Path({!r}));"


def _run(directory: Path, code: str, environment: dict[str, str] | None = None) -> str:
    command = [sys.executable, "-c", PREAMBLE.format(str(directory)) + code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603 - our own
    return done.stdout


def test_render_adds_up_processes_that_share_a_directory(tmp_path: Path) -> None:
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    count = "from signalhub.services.metrics import STEPS; STEPS.pending['moved',] += 3; shared_metrics.flush()"
    for _ in range(2):
        _run(tmp_path, count, environment)
    text = _run(tmp_path, "print(shared_metrics.render().decode())", environment)
    assert 'signalhub_worker_steps_total{result="moved"} 6.0' in text


def test_render_includes_buffered_observations(tmp_path: Path) -> None:
    code = (
        "from signalhub.services.metrics import BATCH_SIZE;"
        "BATCH_SIZE.pending.append(7); print(shared_metrics.render().decode())"
    )
    assert "signalhub_ingest_batch_size_sum 7.0" in _run(tmp_path, code)


def test_render_includes_buffered_counters(tmp_path: Path) -> None:
    code = (
        "from signalhub.streams.metrics import BYTES_WRITTEN;"
        "BYTES_WRITTEN.pending[()] += 7; print(shared_metrics.render().decode())"
    )
    assert "signalhub_stream_bytes_total 7.0" in _run(tmp_path, code)


def test_render_forgets_gauges_of_ended_processes(tmp_path: Path) -> None:
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    _run(tmp_path, "from signalhub.services.metrics import QUEUE; QUEUE.set(5)", environment)
    assert "signalhub_ingest_queue 5.0" not in _run(tmp_path, "print(shared_metrics.render().decode())", environment)


def test_share_directory_starts_empty(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").write_bytes(b"left over")
    _run(tmp_path, "")
    assert list(tmp_path.iterdir()) == []


def test_commands_name_the_directory_before_the_library_is_imported() -> None:
    code = "import signalhub.cli.servers, sys; assert 'prometheus_client' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own
