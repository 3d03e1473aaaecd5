"""`just trace`: the path of one signal through the code, from its POST to its SSE frame, in a running service.

`signalhub up` runs with a hook that records every call of a function of ours. Several signals are sent, one at a time,
on an installation that is warm; a function is on the path if it is called for every one of them, between the POST and
the arrival of its `order.executed`, and not in every pause between two signals, as what runs by the clock is.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import httpx
import psutil  # type: ignore[import-untyped]  # it ships none

ROOT: Final = Path(__file__).parents[2]
SIGNAL_TEXT: Final = b"BUY EURUSD @ 1.0860\nSL 1.0850\nTP 1.0890"
WARM_UP_SIGNALS: Final = 20
TRACED_SIGNALS: Final = 12
PAUSE_S: Final = 0.4
SETTLE_NS: Final = 200_000_000
"""What follows a signal's event, such as the end of its message, is no pause yet."""
START_TIMEOUT_S: Final = 60.0
WRITE_TIMEOUT_S: Final = 10.0
MAX_FILES: Final = 28


class Call(NamedTuple):
    at_ns: int
    file: str
    function: str


def main(arguments: Sequence[str]) -> int:
    """Print files and functions in the order of their first call. Exit status 1 above 28 files."""
    root = Path(arguments[0]).resolve() if arguments else ROOT
    with TemporaryDirectory() as directory:
        spans, calls = _trace(root, Path(directory))
    path = _find_common_path(spans, calls)
    files = list(dict.fromkeys(call.file for call in path))
    for number, file in enumerate(files, 1):
        functions = [call.function for call in path if call.file == file]
        sys.stdout.write(f"{number:3} {file}\n{''.join(f'      {function}{chr(10)}' for function in functions)}")
    sys.stdout.write(f"{len(files)} files, {len(path)} functions from POST to SSE frame (at most {MAX_FILES} files)\n")
    return 0 if len(files) <= MAX_FILES else 1


def _trace(root: Path, directory: Path) -> tuple[list[tuple[int, int]], list[Call]]:
    """Send signals to a traced service. Return the time span of each, in monotonic nanoseconds, and all calls."""
    with _run_service(root, directory) as (process, url, key):
        headers = {"X-API-Key": key}
        with (
            httpx.Client(base_url=url, headers=headers, timeout=30) as http,
            http.stream("GET", "/api/v1/stream") as stream,
        ):
            lines = stream.iter_lines()
            next(line for line in lines if line.startswith("event: stream.ready"))
            spans = [_send_one(http, lines) for _ in range(WARM_UP_SIGNALS + TRACED_SIGNALS)]
        children = process.children(recursive=True)
        return spans[WARM_UP_SIGNALS:], _collect_calls(root, directory, children)


def _send_one(http: httpx.Client, lines: Iterator[str]) -> tuple[int, int]:
    time.sleep(PAUSE_S)
    began = time.monotonic_ns()
    order_id = http.post("/api/v1/signals", content=SIGNAL_TEXT).raise_for_status().json()["order_id"]
    next(line for line in lines if line.startswith("data:") and order_id in line and '"order.executed"' in line)
    return began, time.monotonic_ns()


@contextmanager
def _run_service(root: Path, directory: Path) -> Iterator[tuple["psutil.Process", str, str]]:
    port = _find_free_port()
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parent / "hook"),
        "SIGNAL_TRACE_DIRECTORY": str(directory),
        "SIGNAL_TRACE_ROOTS": os.pathsep.join(str(root / name) for name in ("src/signalhub", "actors", "db")),
        "SIGNALHUB_DATA_DIR": str(directory / "data"),
        "SIGNALHUB_PORT": str(port),
        "SIGNALHUB_BROKER_PROFILE": "instant",
    }
    python = root / ".venv/bin/python"
    command = [str(python if python.exists() else sys.executable), "-m", "signalhub", "up", "--json"]
    with (directory / "up.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own
            command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=log
        )
    try:
        if process.stdout is None:
            raise RuntimeError("standard output is a pipe")
        welcome = json.loads(process.stdout.readline())
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url)
        yield psutil.Process(process.pid), url, welcome["api_key"]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{url}/health/ready", timeout=5)
        except httpx.TransportError:
            pass
        else:
            if answer.is_success and answer.json()["workers"]:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{url} is not ready")


def _collect_calls(root: Path, directory: Path, processes: Sequence["psutil.Process"]) -> list[Call]:
    """Ask every traced process for its recording: the Python processes that run our code."""
    traced = [process for process in processes if "python" in process.name() and process.is_running()]
    for process in traced:
        process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + WRITE_TIMEOUT_S
    calls: list[Call] = []
    for process in traced:
        file = directory / f"{process.pid}.calls"
        while not (file.exists() and file.read_text(encoding="utf-8").endswith("end\n")):
            if time.monotonic() > deadline:
                break  # a process without a Python loop that runs its handler, such as a resource tracker
            time.sleep(0.05)
        if file.exists():
            calls += _read_calls(root, file)
    return calls


def _read_calls(root: Path, file: Path) -> Iterator[Call]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line != "end":
            at_ns, path, function = line.split("\t")
            yield Call(int(at_ns), str(Path(path).relative_to(root)), function)


def _find_common_path(spans: Sequence[tuple[int, int]], calls: Sequence[Call]) -> list[Call]:
    """Return the first call of each function on the path, in the order of the last span."""
    ordered = sorted(calls)
    pauses = [(ended, began) for (_, ended), (began, _) in pairwise(spans)]
    on_path = set[tuple[str, ...]].intersection(*(_find_functions(ordered, span) for span in spans))
    on_path -= set[tuple[str, ...]].intersection(
        *(_find_functions(ordered, (ended + SETTLE_NS, began)) for ended, began in pauses)
    )
    first: dict[tuple[str, ...], Call] = {}
    for call in ordered:
        if spans[-1][0] <= call.at_ns <= spans[-1][1] and call[1:] in on_path:
            first.setdefault(call[1:], call)
    return list(first.values())


def _find_functions(calls: Sequence[Call], span: tuple[int, int]) -> set[tuple[str, ...]]:
    return {call[1:] for call in calls if span[0] <= call.at_ns <= span[1]}


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
