"""One service of real processes for all fault tests, with a demo broker that waits less than a second."""

from collections.abc import Iterator

import pytest

from tests.kit.setting_changes import make_settings
from tests.kit.stack import Stack

FAST_SETTINGS = make_settings(demo_fill_s=0.4, demo_close_s=0.9, lease_s=2.0, heartbeat_s=1.0, slow_reader_s=1.5)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start the stack once: each test has its own accounts and leaves everything running."""
    running = Stack(tmp_path_factory.mktemp("stack"), FAST_SETTINGS)
    try:
        yield running.start()
    finally:
        running.stop()
