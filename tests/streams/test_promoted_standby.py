"""A standby takes over without the last events of its primary: followers are told, and told soon."""

from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from db import migrate
from db.engine import create_engine
from signalhub.embedded.postgres import Postgres
from tests.kit.running_app import run_app
from tests.kit.servers import Servers
from tests.kit.standby import Standby

MAX_DETECTION_S = 2.0


@pytest.fixture
async def primary(tmp_path: Path) -> AsyncIterator[Postgres]:
    with Postgres(tmp_path / "primary") as server:
        engine = create_engine(server.url)
        await migrate.upgrade(engine)
        await engine.dispose()
        yield server


@pytest.fixture
async def standby(primary: Postgres, tmp_path: Path) -> AsyncIterator[Standby]:
    standby = Standby(primary, tmp_path / "standby")
    try:
        await standby.start()
        yield standby
    finally:
        standby.server.stop()


async def test_promoted_standby_resets_followers_within_two_seconds(
    servers: Servers, primary: Postgres, standby: Standby, tmp_path: Path
) -> None:
    settings = await servers.create_settings(database_url=standby.url)
    async with run_app(settings, tmp_path) as app:
        account = await app.create_account()
        async with account.open_sse() as stream:
            old = (await stream.expect_ready()).json["epoch"]
            await standby.disconnect()
            await app.publish_events(await app.append_events(account, 3))
            last = (await stream.next_events(3))[-1]
            primary.kill()
            await standby.promote()
            promoted_at = monotonic()
            await stream.wait_until_closed()
        async with account.open_sse(last_event_id=last.id) as stream:
            ready = await stream.expect_ready()
            reset = await stream.next_event()
            detection_s = monotonic() - promoted_at
            assert ready.json["epoch"] != old
            assert (reset.event, reset.json["reason"]) == ("stream.reset", "epoch")
            await app.services.engine.dispose()  # the connections of this process are those of the dead primary
            new = await app.append_events(account, 1)
            assert (await stream.next_event()).json["seq"] == new[0].seq < last.json["seq"]
    assert detection_s < MAX_DETECTION_S
