"""`signalhub up` without the application: real servers, shell scripts for children, real kills."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships none
import pytest

from signalhub.embedded.child_processes import find_supervisor_processes
from signalhub.embedded.paths import compute_mark
from signalhub.embedded.postgres import Postgres
from signalhub.embedded.valkey import Valkey

pytestmark = pytest.mark.fault

WITH_GRANDCHILD = "sleep 1000 & echo $$ $! >> pids; wait"
IGNORES_SIGTERM = "trap '' TERM; echo $$ $$ >> pids; while true; do sleep 1; done"

StartSupervisor = Callable[..., subprocess.Popen[str]]


def _wait_until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.01)


def _is_living(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.fixture
def start_supervisor(data_dir: Path, tmp_path: Path, copy_cluster: Callable[[Path], Path]) -> Iterator[StartSupervisor]:
    """Start a supervisor of one shell script in a process of its own; it prints `ready` when all is up."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *, servers: bool = False, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        if servers and not data_dir.exists():
            copy_cluster(data_dir)
        body = f"""
from pathlib import Path
from signalhub.embedded.supervisor import ChildSpec, Supervisor
with Supervisor(Path({str(data_dir)!r}), postgres={servers}, valkey={servers}) as supervisor:
    supervisor.start_servers()
    spec = ChildSpec("child", ["/bin/sh", "-c", {script!r}], {{"PATH": "/usr/bin:/bin"}})
    supervisor.run([spec], lambda: print("ready") is None)
"""
        command = [*prefix, sys.executable, "-u", "-c", body]
        process = subprocess.Popen(  # noqa: S603 - our own
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        output = _read_until(process, "ready")
        assert output.endswith("ready\n"), output
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=20)
    assert find_supervisor_processes(compute_mark(data_dir)) == []


def _read_until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            break
    return "".join(lines)


def _wait_for_pids(tmp_path: Path, runs: int) -> list[tuple[int, int]]:
    """Wait for the script's *runs*-th run; each is a child and its grandchild."""
    file = tmp_path / "pids"
    _wait_until(lambda: file.exists() and len(file.read_text().splitlines()) >= runs)
    return [(int(child), int(grandchild)) for child, grandchild in map(str.split, file.read_text().splitlines())]


def test_killed_child_is_restarted_and_its_descendants_killed(
    start_supervisor: StartSupervisor, tmp_path: Path
) -> None:
    start_supervisor(WITH_GRANDCHILD)
    child, grandchild = _wait_for_pids(tmp_path, 1)[0]
    os.kill(child, signal.SIGKILL)
    new_child, new_grandchild = _wait_for_pids(tmp_path, 2)[1]
    assert not _is_living(grandchild)
    assert _is_living(new_child)
    assert _is_living(new_grandchild)


def test_killed_servers_restart_on_the_same_sockets(start_supervisor: StartSupervisor, data_dir: Path) -> None:
    process = start_supervisor(WITH_GRANDCHILD, servers=True)
    servers = [
        child for child in psutil.Process(process.pid).children() if child.name() in ("postgres", "valkey-server")
    ]
    assert len(servers) == 2
    for server in servers:
        server.kill()
    _read_until(process, "supervisor.child_exited")
    _wait_until(lambda: Postgres(data_dir).is_ready() and Valkey(data_dir).is_ready())


def test_signal_stops_everything_in_reverse_order(
    start_supervisor: StartSupervisor, data_dir: Path, tmp_path: Path
) -> None:
    process = start_supervisor(WITH_GRANDCHILD, servers=True)
    child, grandchild = _wait_for_pids(tmp_path, 1)[0]
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=20)[0]
    assert process.returncode == 0
    assert rest.index("server=valkey") < rest.index("server=postgres")
    assert not _is_living(child)
    assert not _is_living(grandchild)
    assert not Postgres(data_dir).paths.run_dir.exists()


def test_signal_during_start_leaves_nothing_running(data_dir: Path, copy_cluster: Callable[[Path], Path]) -> None:
    body = (
        "import os, signal; from signalhub.embedded.supervisor import *\n"
        f"with Supervisor(Path({str(copy_cluster(data_dir))!r})) as up:\n"
        "    up.start_servers(); os.kill(os.getpid(), signal.SIGTERM)"
    )
    run = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert run.returncode == 128 + signal.SIGTERM
    assert run.stdout.index("embedded.stopped") < run.stdout.rindex("embedded.stopped")
    assert not Postgres(data_dir).is_ready()


def test_second_signal_kills_child_that_ignores_sigterm(start_supervisor: StartSupervisor, tmp_path: Path) -> None:
    process = start_supervisor(IGNORES_SIGTERM)
    child, _ = _wait_for_pids(tmp_path, 1)[0]
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert _is_living(child)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=2)
    assert not _is_living(child)


def test_next_start_kills_orphans_of_killed_supervisor(start_supervisor: StartSupervisor, tmp_path: Path) -> None:
    first = start_supervisor(WITH_GRANDCHILD, servers=True)
    child, grandchild = _wait_for_pids(tmp_path, 1)[0]
    for pid in (first.pid, child, *(server.pid for server in psutil.Process(first.pid).children())):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert _is_living(grandchild)
    start_supervisor(WITH_GRANDCHILD, servers=True)
    assert not _is_living(grandchild)
    assert _is_living(_wait_for_pids(tmp_path, 2)[1][0])


def test_second_supervisor_of_one_directory_is_refused(
    start_supervisor: StartSupervisor, data_dir: Path, tmp_path: Path
) -> None:
    process = start_supervisor(WITH_GRANDCHILD)
    body = f"from signalhub.embedded.supervisor import *; Supervisor(Path({str(data_dir)!r})).__enter__()"
    second = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert f"AlreadyRunning: {data_dir} is in use by process {process.pid}: stop that one first." in second.stderr
    assert _is_living(_wait_for_pids(tmp_path, 1)[0][0])


def test_pid_1_reaps_orphans(start_supervisor: StartSupervisor, tmp_path: Path) -> None:
    namespace = (shutil.which("unshare") or "/bin/false", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*namespace, "/bin/true"], check=False, capture_output=True).returncode != 0:  # noqa: S603 - our own
        pytest.skip("needs the right to create a PID namespace")
    # The inner shell exits before its child, which becomes a child of PID 1 and then a zombie.
    process = start_supervisor("(sleep 0.1 &) ; echo $$ $$ >> pids; sleep 1000", prefix=namespace)
    _wait_for_pids(tmp_path, 1)
    time.sleep(0.4)
    descendants = psutil.Process(process.pid).children(recursive=True)
    assert [process for process in descendants if process.status() == psutil.STATUS_ZOMBIE] == []
    psutil.Process(process.pid).children()[0].terminate()
    process.communicate(timeout=20)
