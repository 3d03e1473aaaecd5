"""The ladder: servers → settings → a running hub → a fresh account. Everything but the account lives for the run.

A test that needs an installation to itself asks `servers.settings()` for one and starts what it needs with
`tests.kit.processes`.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.kit.hub import Hub, running_hub
from tests.kit.processes import running_worker
from tests.kit.servers import Servers
from tests.kit.trader import Trader


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
async def hub(servers: Servers, logs: Path) -> AsyncIterator[Hub]:
    """Profile `demo` and no worker: an order moves when the test calls `hub.step`."""
    async with running_hub(await servers.settings(heartbeat_s=0.5), logs) as running:
        yield running


@pytest.fixture(scope="session")
async def live(servers: Servers, logs: Path) -> AsyncIterator[Hub]:
    """Profile `instant` and a real worker: an order is closed as soon as it can be."""
    settings = await servers.settings(broker_profile="instant")
    async with (
        running_hub(settings, logs) as running,
        running_worker(settings, logs / f"worker-{settings.port}.log"),
    ):
        yield running


@pytest.fixture
def http(hub: Hub) -> httpx.AsyncClient:
    return hub.http


@pytest.fixture
async def trader(hub: Hub) -> Trader:
    return await hub.trader()


@pytest.fixture
async def stranger(hub: Hub) -> Trader:
    """Another account, which must never see anything of `trader`'s."""
    return await hub.trader()


@pytest.fixture
async def live_trader(live: Hub) -> Trader:
    return await live.trader()
