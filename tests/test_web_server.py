"""Private parts of granian in use: a new version must be checked against each by hand."""

import inspect
from importlib.metadata import version

from granian._granian import SocketHolder
from granian.server.common import AbstractServer
from granian.server.mp import MPServer, WorkerProcess


def test_granian_version_is_the_one_that_was_read() -> None:
    assert version("granian") == "2.8.7"


def test_socket_of_a_child_may_be_an_inherited_one() -> None:
    parameters = inspect.signature(MPServer._spawn_worker).parameters  # noqa: SLF001 - the part in use
    assert list(parameters) == ["self", "idx", "target", "callback_loader"]
    spawn_worker = inspect.getsource(MPServer._spawn_worker)  # noqa: SLF001 - the same
    assert "((self._ssp, self._shd), self._sso)" in spawn_worker
    assert "self._ipc[idx][1] if self.metrics_enabled else None" in spawn_worker
    assert "self._ssp = None" in inspect.getsource(AbstractServer.__init__)
    assert callable(SocketHolder)


def test_child_runs_its_target_and_loads_the_application_itself() -> None:
    assert "self.inner = multiprocessing" in inspect.getsource(WorkerProcess._spawn)  # noqa: SLF001 - the same
    assert "callback = callback_loader()" in inspect.getsource(WorkerProcess.wrap_target)
    assert callable(MPServer._spawn_asgi_lifespan_worker)  # noqa: SLF001 - the same


def test_child_stops_on_a_signal_to_its_event_loop() -> None:
    from granian import _signals  # noqa: PLC0415 - the same

    assert "loop.add_signal_handler(sigval" in inspect.getsource(_signals.set_loop_signals)
