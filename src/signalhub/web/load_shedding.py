"""Refuse requests while the process is overloaded, before they are read, routed or authenticated.

A request that waits for longer than its sender does is work for nothing. So the wait itself is measured, and what
cannot be served soon is refused at once, for a small part of the cost of a signal; the rest is served in time.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Mapping
from time import perf_counter
from typing import Final

import structlog
from litestar.types import HTTPScope, Receive, Send
from prometheus_client import Counter

from signalhub.shared_metrics import BufferedCounter

SHED_REQUESTS: Final = BufferedCounter(
    Counter("signalhub_http_shed_requests", "Requests refused unread because the process was overloaded.")
)

_TARGET_DELAY_S: Final = 0.3
"""The wait that is accepted: with two of them and the commit, an answer still comes within its two seconds."""

_TOLERATED_S: Final = 0.2
"""How long the wait may exceed the target, so that a burst which the process can work off is served."""

_LONG_DELAY_S: Final = 0.8
"""The wait above which few are served: a signal goes through the queues twice before it is stored."""

_MAX_IN_PROGRESS: Final = 64
"""How many requests are served at a time during overload: so few are served soon, and so many keep the process busy.

As many again for senders within their share, a quarter of both during a long wait.
"""

_HOLD_DELAY_S: Final = 0.2
_MAX_HOLD_S: Final = 1.2
_HOLD_INTERVAL_S: Final = 0.1

_SAMPLE_VALID_S: Final = 0.1
_WINDOW_S: Final = 0.5
_BURST_SHARE: Final = 0.25
_LOG_INTERVAL_S: Final = 1.0
_MAX_KNOWN_CREDENTIALS: Final = 100_000

_HOOK_PATH_PREFIX: Final = "/hooks/"
_EXEMPT_PATH_PREFIXES: Final = ("/health", "/metrics", "/api/v1/stream")
"""Health and metrics tell the operator of the overload; a browser's EventSource gives up for good after a 503."""

_log = structlog.get_logger()


class QueueDelay:
    """How long what arrives now waits for its turn, measured by markers that go through the same queues.

    One marker goes through the event loop's queue. The other goes through the server's, between its threads and the
    event loop: the `receive` of a finished request answers at once, through that queue. A marker that is still on its
    way has waited for its age at least.
    """

    def __init__(self) -> None:
        self._sent_at: dict[str, float] = {}
        self._samples: dict[str, tuple[float, float]] = {}

    def get(self, now: float) -> float:
        """Return the longest wait of the last moments, in seconds, and send a marker through the event loop's queue."""
        if "loop" not in self._sent_at:
            self._sent_at["loop"] = now
            asyncio.get_running_loop().call_soon(self._note_arrival, "loop")
        waits = [now - sent_at for sent_at in self._sent_at.values()]
        waits += [wait for wait, arrived_at in self._samples.values() if now - arrived_at < _SAMPLE_VALID_S]
        return max(waits)

    async def send_marker(self, receive: Receive) -> None:
        """Send a marker through the server's queue, if none is on its way. `receive` is that of a finished request."""
        if "server" not in self._sent_at:
            self._sent_at["server"] = perf_counter()
            try:
                await receive()
            finally:
                self._note_arrival("server")

    def _note_arrival(self, queue: str) -> None:
        now = perf_counter()
        self._samples[queue] = now - self._sent_at.pop(queue), now


class FairShare:
    """Counts what each account was served, in windows of half a second.

    An account's share is what was served in the last window, divided by one more than the accounts that were served. An
    account is known once its credential was authenticated; those that are not known have one share in common.
    """

    def __init__(self) -> None:
        self._accounts: dict[bytes, str] = {}
        self._served: Tally[str] = Tally()
        self._window_end = self._share = 0.0

    def remember(self, credential: bytes, account_id: str) -> None:
        """Note whose credential this is."""
        if len(self._accounts) >= _MAX_KNOWN_CREDENTIALS:
            self._accounts.clear()
        self._accounts[credential] = account_id

    def has_left(self, credential: bytes, now: float) -> bool:
        """Return whether the credential's account has used less than the part of its share that is due by now."""
        self._roll(now)
        # The whole share at the start of a window would let the largest sender take every free place first.
        elapsed = 1 - (self._window_end - now) / _WINDOW_S
        return self._served[self._accounts.get(credential, "")] < self._share * (_BURST_SHARE + elapsed)

    def count(self, credential: bytes, now: float) -> None:
        """Count a request that is served."""
        self._roll(now)
        self._served[self._accounts.get(credential, "")] += 1

    def _roll(self, now: float) -> None:
        if now >= self._window_end:
            self._share = sum(self._served.values()) / (len(self._served) + 1)
            self._served.clear()
            self._window_end = now + _WINDOW_S


class LoadShedder:
    """Decides for each request whether it is served. `refusal` is the body of a refusal, with `%s` for its trace id.

    A client that repeats a refused request at once, on thousands of connections, keeps the queues long by itself. So a
    refusal is held back while they are long, for more than a second at last: that leaves the time for the others.
    """

    def __init__(self, refusal: bytes) -> None:
        self._delay, self._shares = QueueDelay(), FairShare()
        self._refusal = refusal
        self._delayed_since: float | None = None
        self._in_progress: Tally[int] = Tally()  # by the second in which they were admitted
        self._hold_s = self._hold_changed_at = 0.0
        self._shed_count, self._logged_at = 0, 0.0

    def admit(self, scope: HTTPScope, headers: Mapping[bytes, bytes], now: float) -> bool:
        """Return whether to serve a request that came at `now`; `leave` must follow if so."""
        delay, credential = self._delay.get(now), get_credential(scope, headers)
        if self._is_overloaded(delay, now) and not scope["path"].startswith(_EXEMPT_PATH_PREFIXES):
            limit = 2 * _MAX_IN_PROGRESS if self._shares.has_left(credential, now) else _MAX_IN_PROGRESS
            # A request that takes longer waits for its sender, and takes no place from the others.
            in_progress = self._in_progress[int(now)] + self._in_progress[int(now) - 1]
            if in_progress >= (limit if delay < _LONG_DELAY_S else limit // 4):
                return False
        self._shares.count(credential, now)
        self._in_progress[int(now)] += 1
        return True

    def leave(self, admitted_at: float) -> None:
        """Note the end of a request."""
        second = int(admitted_at)
        self._in_progress[second] -= 1
        if not self._in_progress[second]:
            del self._in_progress[second]

    def _is_overloaded(self, delay: float, now: float) -> bool:
        if delay <= _TARGET_DELAY_S:
            self._delayed_since = None
            return False
        if self._delayed_since is None:
            self._delayed_since = now - delay
        return now - self._delayed_since > _TOLERATED_S

    async def refuse(self, trace_id: str, send: Send) -> None:
        """Send the refusal: 503, within two seconds."""
        now = perf_counter()
        self._count_refusal(now)
        if self._hold_s:
            await asyncio.sleep(self._hold_s)
        body = self._refusal % trace_id.encode()
        headers = [*_REFUSAL_HEADERS, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _count_refusal(self, now: float) -> None:
        SHED_REQUESTS.pending[()] += 1
        self._shed_count += 1
        delay = self._delay.get(now)
        if now - self._hold_changed_at > _HOLD_INTERVAL_S:
            change = _HOLD_INTERVAL_S if delay > _HOLD_DELAY_S else -_HOLD_INTERVAL_S / 4
            self._hold_s = min(max(self._hold_s + change, 0.0), _MAX_HOLD_S)
            self._hold_changed_at = now
        if now - self._logged_at > _LOG_INTERVAL_S:  # a line for each would cost more than the refusal
            _log.warning("web.requests_shed", requests=self._shed_count, delay_ms=round(delay * 1000))
            self._shed_count, self._logged_at = 0, now

    def note_served(self, scope: HTTPScope, headers: Mapping[bytes, bytes], account_id: str | None) -> None:
        """Note whose credential a served request had."""
        if account_id is not None:
            self._shares.remember(get_credential(scope, headers), account_id)

    async def measure(self, receive: Receive) -> None:
        """Measure the wait in the server's queue. `receive` is that of a finished request whose body was read."""
        await self._delay.send_marker(receive)


_REFUSAL_HEADERS: Final = ((b"content-type", b"application/problem+json"), (b"retry-after", b"1"))


def get_credential(scope: HTTPScope, headers: Mapping[bytes, bytes]) -> bytes:
    """Return what identifies a sender, unchecked: the key or the cookie, or the path of a hook; empty without one."""
    path = scope["path"]
    if path.startswith(_HOOK_PATH_PREFIX):
        return path.encode()
    return headers.get(b"x-api-key") or headers.get(b"authorization") or headers.get(b"cookie") or b""
