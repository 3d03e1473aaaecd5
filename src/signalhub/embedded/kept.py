"""One thing that is to run for as long as we do, and the memory of how it fared."""

import time
from typing import Protocol

import structlog

from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.pace import Pace

logger = structlog.get_logger()


class Mortal(Protocol):
    """A server, or a group of processes."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int | None: ...

    @property
    def status(self) -> int | None: ...

    def alive(self) -> bool: ...

    def launch(self) -> None: ...

    def kill(self) -> None: ...

    def last_words(self) -> str: ...


class Kept:
    def __init__(self, what: Mortal) -> None:
        self._what = what
        self._pace = Pace()
        self._began = time.monotonic()
        self._due: float | None = None if what.alive() else self._began

    def tend(self) -> None:
        """Notice a death, and start again when the time has come. Returns at once."""
        if self._due is None and not self._what.alive():
            self._bury()
        if self._due is not None and time.monotonic() >= self._due:
            self._launch()

    def _bury(self) -> None:
        life_s = time.monotonic() - self._began
        wait_s = self._pace.wait_s(life_s)
        logger.warning(
            "supervisor.died",
            name=self._what.name,
            status=self._what.status,
            last_words=self._what.last_words(),
            after_s=round(life_s, 1),
            wait_s=wait_s,
        )
        self._what.kill()  # and with it whatever it left running
        self._due = time.monotonic() + wait_s

    def _launch(self) -> None:
        self._began = time.monotonic()
        try:
            self._what.launch()
        except (EmbeddedError, OSError) as error:
            self._due = self._began + self._pace.wait_s(life_s=0.0)
            logger.error("supervisor.start_failed", name=self._what.name, error=str(error))  # noqa: TRY400  # its sentence says it all
        else:
            self._due = None
            logger.info("supervisor.started", name=self._what.name, pid=self._what.pid)
