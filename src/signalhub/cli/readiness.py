"""Ask the web whether everything runs, from inside the supervisor's loop."""

import http.client
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from signalhub.cli.output import remark

# The loop that asks also tends the servers: it must not hang here.
_ANSWER_S: Final = 1.0
_PAUSE_S: Final = 0.1
_SLOW_S: Final = 20.0


class _Ready(msgspec.Struct):
    status: str
    workers: bool


class Readiness:
    """Call it until it says yes; `then` is called once, just before."""

    def __init__(self, url: str, then: Callable[[], None]) -> None:
        self._address, self._then = urlsplit(url), then
        self._began = self._asked = time.monotonic()
        self._has_complained = False

    def __call__(self) -> bool:
        if time.monotonic() - self._asked < _PAUSE_S:
            return False
        is_ready = self._ask()
        self._asked = time.monotonic()
        if is_ready:
            self._then()
        elif not self._has_complained and self._asked - self._began > _SLOW_S:
            self._has_complained = True
            remark("This takes long. What the web and the worker say is above; SIGNALHUB_LOG_LEVEL=debug says more.")
        return is_ready

    def _ask(self) -> bool:
        line = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=_ANSWER_S)
        try:
            line.request("GET", "/health/ready")
            told = msgspec.json.decode(line.getresponse().read(), type=_Ready)
        except (OSError, http.client.HTTPException, msgspec.MsgspecError):
            return False
        finally:
            line.close()
        return told.status == "ok" and told.workers
