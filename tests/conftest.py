"""Fixtures: servers, settings on them, a running app, a new account. All but the accounts are shared by the whole run.

A test that needs an installation of its own asks `servers.create_settings()` for one and starts what it needs with
`tests.kit.processes`.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.kit.account_client import AccountClient
from tests.kit.processes import run_worker
from tests.kit.running_app import RunningApp, run_app
from tests.kit.servers import Servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
async def app(servers: Servers, logs: Path) -> AsyncIterator[RunningApp]:
    """Profile `demo` and no worker: an order moves when the test calls `app.advance_order`."""
    async with run_app(await servers.create_settings(heartbeat_s=0.5), logs) as running:
        yield running


@pytest.fixture(scope="session")
async def running_service(servers: Servers, logs: Path) -> AsyncIterator[RunningApp]:
    """Profile `instant` and a real worker: an order is closed as soon as it can be."""
    settings = await servers.create_settings(broker_profile="instant")
    async with (
        run_app(settings, logs) as running,
        run_worker(settings, logs / f"worker-{settings.web.port}.log"),
    ):
        yield running


@pytest.fixture
def http(app: RunningApp) -> httpx.AsyncClient:
    return app.http


@pytest.fixture
async def account(app: RunningApp) -> AccountClient:
    return await app.create_account()


@pytest.fixture
async def other_account(app: RunningApp) -> AccountClient:
    """Another account, which must never see anything of `account`'s."""
    return await app.create_account()


@pytest.fixture
async def running_service_account(running_service: RunningApp) -> AccountClient:
    return await running_service.create_account()
