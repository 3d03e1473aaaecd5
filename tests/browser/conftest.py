"""A stack whose web process can be killed, and a browser."""

import os
from collections.abc import AsyncIterator

import pytest

from tests.browser.chromium import PROGRAM, Browser, Page, run_browser
from tests.kit.setting_changes import make_settings
from tests.kit.stack import Stack


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    settings = make_settings(demo_fill_s=4.0, demo_close_s=4.0, heartbeat_s=1.5)
    running = Stack(tmp_path_factory.mktemp("stack"), settings).start()
    try:
        await running.wait_until_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    if PROGRAM is None and os.environ.get("CI") != "true":
        pytest.skip("there is no Chromium on this machine")
    async with run_browser(tmp_path_factory.mktemp("browser") / "profile") as running:
        yield running


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with browser.page() as opened:
        yield opened
