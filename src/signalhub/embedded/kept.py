"""One thing that is to run for as long as we do, and the memory of how it fared."""

import time
from typing import Protocol

import structlog

from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.pace import RestartBackoff

logger = structlog.get_logger()


class Restartable(Protocol):
    """A server, or a group of processes."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int | None: ...

    @property
    def status(self) -> int | None: ...

    def is_alive(self) -> bool: ...

    def launch(self) -> None: ...

    def kill(self) -> None: ...

    def last_log_lines(self) -> str: ...


class ManagedProcess:
    def __init__(self, process: Restartable) -> None:
        self._process = process
        self._backoff = RestartBackoff()
        self._started_at = time.monotonic()
        self._next_start_at: float | None = None if process.is_alive() else self._started_at

    def check(self) -> None:
        """Notice a death, and start again when the time has come. Returns at once."""
        if self._next_start_at is None and not self._process.is_alive():
            self._handle_exit()
        if self._next_start_at is not None and time.monotonic() >= self._next_start_at:
            self._launch()

    def _handle_exit(self) -> None:
        life_s = time.monotonic() - self._started_at
        wait_s = self._backoff.next_delay_s(life_s)
        logger.warning(
            "supervisor.child_exited",
            name=self._process.name,
            status=self._process.status,
            last_words=self._process.last_log_lines(),
            after_s=round(life_s, 1),
            wait_s=wait_s,
        )
        self._process.kill()  # and with it whatever it left running
        self._next_start_at = time.monotonic() + wait_s

    def _launch(self) -> None:
        self._started_at = time.monotonic()
        try:
            self._process.launch()
        except (EmbeddedError, OSError) as error:
            self._next_start_at = self._started_at + self._backoff.next_delay_s(uptime_s=0.0)
            logger.error("supervisor.start_failed", name=self._process.name, error=str(error))  # noqa: TRY400  # its sentence says it all
        else:
            self._next_start_at = None
            logger.info("supervisor.started", name=self._process.name, pid=self._process.pid)
