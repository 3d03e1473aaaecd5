"""Durable acknowledged signals per second, beside a session per request and beside a handler that does nothing.

Rounds alternate, so that a drift of the machine's speed affects all three; the ratios are of medians.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from tests.bench import http_load
from tests.bench.table import Table
from tests.kit.processes import find_free_port
from tests.kit.setting_changes import make_settings
from tests.kit.stack import Stack

SIGNAL_TEXT = b"BUY EURUSD @ 1.0860\nSL 1.0850\nTP 1.0890"
MIN_RATIO_TO_PLAIN, MIN_RATIO_TO_EMPTY = 8.0, 0.2


def main(rounds: int = 5, seconds: float = 4.0, connections: int = 64) -> bool:
    """Print the table; return whether both targets are met."""
    with ExitStack() as stack:
        servers = stack.enter_context(_run_apps())
        results: dict[str, list[http_load.LoadResult]] = {name: [] for name in servers}
        for _ in range(rounds + 1):  # the first round warms up and is not counted
            for name, (url, headers) in servers.items():
                result = http_load.run(
                    url, body=SIGNAL_TEXT, headers=headers, connections=connections, duration_s=seconds
                )
                results[name].append(result)
    return _report({name: runs[1:] for name, runs in results.items()})


def _report(results: dict[str, list[http_load.LoadResult]]) -> bool:
    rates = {name: median(run.requests_per_second for run in runs) for name, runs in results.items()}
    table = Table("server", "per second", "p50 ms", "p99 ms", "failed")
    for name, runs in results.items():
        p50, p99 = (median(run.percentile(fraction) for run in runs) for fraction in (0.5, 0.99))
        table.add(name, f"{rates[name]:,.0f}", f"{p50:.1f}", f"{p99:.1f}", str(sum(run.failures for run in runs)))
    table.write()
    to_plain, to_empty = rates["signalhub"] / rates["plain session"], rates["signalhub"] / rates["empty handler"]
    sys.stdout.write(f"signalhub / plain session = {to_plain:.2f} (target {MIN_RATIO_TO_PLAIN})\n")
    sys.stdout.write(f"signalhub / empty handler = {to_empty:.3f} (target {MIN_RATIO_TO_EMPTY})\n")
    is_sound = all(run.failures <= len(run.latencies_ms) / 100 for runs in results.values() for run in runs)
    return is_sound and to_plain >= MIN_RATIO_TO_PLAIN and to_empty >= MIN_RATIO_TO_EMPTY


@contextmanager
def _run_apps() -> Iterator[dict[str, tuple[str, dict[str, str]]]]:
    with TemporaryDirectory() as directory, ExitStack() as running:
        # No order falls due during the run, so the worker has nothing to do.
        stack = Stack(Path(directory), make_settings(demo_fill_s=3600, demo_close_s=3600))
        running.callback(stack.stop)
        stack.start()
        key, account_id = _register_account(stack)
        environment = {"BENCH_DATABASE_URL": stack.settings.database_url, "BENCH_ACCOUNT_ID": account_id}
        yield {
            "signalhub": (f"{stack.base_url}/api/v1/signals", {"x-api-key": key}),
            "plain session": (running.enter_context(_run_app("plain", environment)), {}),
            "empty handler": (running.enter_context(_run_app("empty", environment)), {}),
        }


def _register_account(stack: Stack) -> tuple[str, str]:
    registration = {"username": "bench", "broker_name": "mock", "account_id": "1", "api_key": "none"}
    with httpx.Client(base_url=stack.base_url) as http:
        _wait_for_url(f"{stack.base_url}/health/live")
        account = http.post("/accounts/", json=registration).json()
    return account["api_key"], account["user"]["id"]


@contextmanager
def _run_app(name: str, environment: dict[str, str]) -> Iterator[str]:
    """Run an app of `tests.bench.ingest_baselines` in granian with the options of the service."""
    port = find_free_port()
    command = [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--factory", "--no-log"),
        *("--port", str(port), "--backpressure", "20000", "--backlog", "4096", f"tests.bench.ingest_baselines:{name}"),
    ]
    process = subprocess.Popen(command, env=os.environ | environment)  # noqa: S603 - our own
    try:
        _wait_for_url(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(15)


def _wait_for_url(url: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{url} did not come up")
