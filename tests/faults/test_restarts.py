"""Two web and two worker processes: one that dies or freezes is replaced alone. `run.py restarts` is the long form."""

from collections.abc import Iterator

import pytest

from tests.faults import restarts
from tests.kit.setting_changes import make_settings
from tests.kit.stack import Stack

pytestmark = pytest.mark.fault


@pytest.fixture
def stack_of_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = make_settings(demo_fill_s=0.4, demo_close_s=0.9, web_processes=2, worker_processes=2)
    running = Stack(tmp_path_factory.mktemp("stack"), settings)
    try:
        yield running.start()
    finally:
        running.stop()


async def test_killed_processes_are_replaced_while_the_others_go_on(stack_of_two: Stack) -> None:
    await stack_of_two.wait_until_ready()
    commands = (stack_of_two.web, stack_of_two.worker)
    first_pids = [command.pid for command in commands]
    stack_of_two.worker.kill_child()
    result = await restarts.kill_web_processes(stack_of_two, count=4, interval_s=0.7)
    assert result.longest_s < 2 * restarts.MAX_PAUSE_S  # on a busy machine
    assert [command.pid for command in commands] == first_pids
    assert [len(command.child_pids()) for command in commands] == [2, 2]
