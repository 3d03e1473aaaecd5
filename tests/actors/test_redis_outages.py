"""While Redis takes no writes, workers move orders by themselves, and health and metrics name the state."""

import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Final

import pytest
from redis.asyncio import Redis

from signalhub import redis_clients
from signalhub.embedded.valkey import Valkey
from signalhub.settings import Secret
from signalhub.shared_metrics import DIRECTORY_VARIABLE
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.processes import run_worker
from tests.kit.redis_keys import read_redis_keys
from tests.kit.running_app import RunningApp, run_app
from tests.kit.servers import Servers

MAX_ORDER_S: Final = 3.0
"""An order of the profile `instant` takes two sweeps."""

MAX_LOG_LINES: Final = 40
"""Lines of all processes in one outage, with those of requests and orders."""


class Installation:
    def __init__(self, app: RunningApp, valkey: Valkey, client: "Redis", logs: Path) -> None:
        self.app, self.valkey, self.client, self._logs = app, valkey, client, logs

    async def wait_for_state(self, *expected: int | str | bool) -> None:
        """Wait until readiness has this response status, `status` and `redis`."""

        async def is_expected() -> bool:
            response = await self.app.http.get("/health/ready")
            body = response.json()
            return (response.status_code, body["status"], body["redis"]) == expected

        await wait_until(is_expected)

    async def read_metric(self, name: str) -> float:
        lines = (await self.app.http.get("/metrics")).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def list_status_changes(self) -> dict[str, list[object]]:
        """Return the changes of the state of Redis that web and worker have logged."""
        return {
            path.stem.partition("-")[0]: [
                line["status"]
                for line in map(_parse_line, path.read_text().splitlines())
                if line.get("event") == "redis.status_changed"
            ]
            for path in self._logs.glob("*.log")
        }

    async def wait_for_last_change(self, status: str) -> None:
        """Wait until web and worker have logged this state last."""

        async def is_logged() -> bool:
            return all(changes[-1:] == [status] for changes in self.list_status_changes().values())

        await wait_until(is_logged)

    def count_log_lines(self) -> int:
        return sum(len(path.read_text().splitlines()) for path in self._logs.glob("*.log"))


@pytest.fixture(scope="module")
async def installation(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    directory = tmp_path_factory.mktemp("own-redis")
    valkey = Valkey(directory / "data", settings={"appendonly": "no"})
    valkey.start()
    settings = await servers.create_settings(redis_url=Secret(valkey.url), broker_profile="instant")
    client = redis_clients.connect_async(valkey.url, timeout_s=5.0)
    with pytest.MonkeyPatch.context() as patch:
        (directory / "metrics").mkdir()
        patch.setenv(DIRECTORY_VARIABLE, str(directory / "metrics"))  # one for both commands
        async with run_app(settings, directory) as app, run_worker(settings, directory / "worker-1.log"):
            yield Installation(app, valkey, client, directory)
    await client.aclose()
    valkey.stop()


async def exhaust_memory(installation: Installation) -> None:
    await installation.client.config_set("maxmemory", "1")


async def become_replica(installation: Installation) -> None:
    await installation.client.replicaof("127.0.0.1", "1")


async def replace_queue(installation: Installation) -> None:
    keys = await read_redis_keys(installation.app.settings)
    await installation.client.delete(f"{keys.jobs}:orders")
    await installation.client.set(f"{keys.jobs}:orders", "not a queue")


async def freeze(installation: Installation) -> None:
    os.kill(installation.valkey.pid, signal.SIGSTOP)


async def repair(installation: Installation) -> None:
    os.kill(installation.valkey.pid, signal.SIGCONT)
    client, keys = installation.client, await read_redis_keys(installation.app.settings)
    await client.config_set("maxmemory", "0")
    await client.replicaof("NO", "ONE")
    if await client.type(f"{keys.jobs}:orders") == b"string":
        await client.delete(f"{keys.jobs}:orders")


@pytest.mark.parametrize(
    ("break_redis", "state"),
    [
        (exhaust_memory, "read_only"),
        (become_replica, "read_only"),
        (replace_queue, "read_only"),
        (freeze, "unavailable"),
    ],
    ids=lambda parameter: getattr(parameter, "__name__", parameter),
)
async def test_orders_move_while_redis_takes_no_writes(
    installation: Installation, break_redis: Callable[[Installation], Awaitable[None]], state: str
) -> None:
    account = await installation.app.create_account()
    await installation.wait_for_state(200, "ok", True)
    lines_before = installation.count_log_lines()
    try:
        await break_redis(installation)
        started_at = monotonic()
        await _close_order(account)
        assert monotonic() - started_at < MAX_ORDER_S
        await installation.wait_for_state(200, "degraded", "read_only" if state == "read_only" else False)
        await installation.wait_for_last_change(state)
        assert await installation.read_metric("signalhub_redis_writable") == 0
    finally:
        await repair(installation)
    await installation.wait_for_state(200, "ok", True)
    await installation.wait_for_last_change("ok")
    for changes in installation.list_status_changes().values():
        assert all(before != after for before, after in pairwise(changes))
    assert installation.count_log_lines() - lines_before < MAX_LOG_LINES
    sweeps_before = await installation.read_metric("signalhub_worker_direct_sweeps_total")
    assert sweeps_before > 0
    await _close_order(account)
    assert await installation.read_metric("signalhub_worker_direct_sweeps_total") == sweeps_before


async def _close_order(account: AccountClient) -> None:
    async with account.open_sse() as stream:
        await stream.expect_ready()
        await account.send_signal()
        frames = await stream.read_until("order.closed")
    assert [frame.event for frame in frames][-2:] == ["order.executed", "order.closed"]


def _parse_line(line: str) -> dict[str, object]:
    try:
        parsed: dict[str, object] = json.loads(line)
    except ValueError:
        return {}
    return parsed
