"""Ask the web whether everything runs, from inside the supervisor's loop."""

import http.client
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from signalhub.cli.output import print_note

# The loop that asks also tends the servers: it must not hang here.
_REQUEST_TIMEOUT_S: Final = 1.0
_POLL_INTERVAL_S: Final = 0.1
_SLOW_START_S: Final = 20.0


class _ReadinessResponse(msgspec.Struct):
    status: str
    workers: bool


class ReadinessProbe:
    """Call it until it says yes; `then` is called once, just before."""

    def __init__(self, url: str, on_ready: Callable[[], None]) -> None:
        self._address, self._on_ready = urlsplit(url), on_ready
        self._started_at = self._last_probe_at = time.monotonic()
        self._has_warned = False

    def __call__(self) -> bool:
        if time.monotonic() - self._last_probe_at < _POLL_INTERVAL_S:
            return False
        is_ready = self._is_ready()
        self._last_probe_at = time.monotonic()
        if is_ready:
            self._on_ready()
        elif not self._has_warned and self._last_probe_at - self._started_at > _SLOW_START_S:
            self._has_warned = True
            print_note(
                "This takes long. What the web and the worker say is above; SIGNALHUB_LOG_LEVEL=debug says more."
            )
        return is_ready

    def _is_ready(self) -> bool:
        line = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=_REQUEST_TIMEOUT_S)
        try:
            line.request("GET", "/health/ready")
            told = msgspec.json.decode(line.getresponse().read(), type=_ReadinessResponse)
        except (OSError, http.client.HTTPException, msgspec.MsgspecError):
            return False
        finally:
            line.close()
        return told.status == "ok" and told.workers
