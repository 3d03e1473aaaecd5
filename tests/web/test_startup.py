"""A web process that starts before its database: it says why it waits, and serves once it can."""

from pathlib import Path

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from db.engine import create_engine
from db.migrate import upgrade
from tests.kit.polling import wait_until
from tests.kit.processes import CommandProcess
from tests.kit.servers import Servers
from tests.kit.signal_texts import BUY

_MISSING_DATABASE = "database_made_later"


async def test_web_waits_for_its_database_and_for_the_migration(servers: Servers, tmp_path: Path) -> None:
    settings = await servers.create_settings(database_url=servers.postgres.build_url(_MISSING_DATABASE))
    web = CommandProcess("web", settings, tmp_path / "web.log")
    try:
        async with httpx.AsyncClient(base_url=settings.web.base_url, timeout=5) as http:
            await wait_until(lambda: _is_live(http))
            assert (await _read_reason(http)).startswith("The database cannot be reached")
            await _expect_refusals(http, settings.web.base_url)

            await servers.create_database(_MISSING_DATABASE, is_empty=True)
            await wait_until(lambda: _has_reason(http, "signalhub migrate"))
            await wait_until(lambda: _has_logged(web, "signalhub migrate"))
            await _expect_refusals(http, settings.web.base_url)

            engine = create_engine(settings.database_url)
            await upgrade(engine)
            await engine.dispose()
            await wait_until(lambda: _is_ready(http))
            assert (await http.post("/api/v1/signals", content=BUY)).status_code == 401
    finally:
        assert web.stop() == 0
    lines = [msgspec.json.decode(line) for line in web.log_text.splitlines() if line.startswith("{")]
    waiting = [line for line in lines if line["event"] == "web.waiting_for_database"]
    assert ["SIGNALHUB_DATABASE_URL" in waiting[0]["hint"], "migrate" in waiting[1]["hint"]] == [True, True]
    assert len(waiting) == 2
    assert [line["event"] for line in lines if line["event"] == "web.started"] == ["web.started"]


async def _expect_refusals(http: httpx.AsyncClient, base_url: str) -> None:
    refused = [await http.post("/api/v1/signals", content=BUY), await http.get("/"), await http.get("/health/")]
    assert [response.status_code for response in refused] == [503, 503, 503]
    assert {response.headers["Retry-After"] for response in refused} == {"1"}
    assert refused[0].json()["code"] == "unavailable"
    assert (await http.get("/health/live")).status_code == 200
    # An EventSource gives up for good after any other status.
    stream = await http.get("/api/v1/stream", headers={"Accept": "text/event-stream"})
    assert (stream.status_code, "stream.unavailable" in stream.text, "retry: " in stream.text) == (200, True, True)
    with pytest.raises(InvalidStatus):
        await connect(f"{base_url.replace('http', 'ws')}/ws/stream", proxy=None)


async def _is_live(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/health/live")).is_success
    except httpx.TransportError:
        return False


async def _read_reason(http: httpx.AsyncClient) -> str:
    response = await http.get("/health/ready")
    assert response.status_code == 503
    return str(response.json()["reason"])


async def _has_reason(http: httpx.AsyncClient, text: str) -> bool:
    return text in await _read_reason(http)


async def _has_logged(web: CommandProcess, text: str) -> bool:
    return text in web.log_text


async def _is_ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/health/ready")).is_success
