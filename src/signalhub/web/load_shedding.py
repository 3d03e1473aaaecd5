"""Refuse requests while the process is overloaded, before they are read, routed or authenticated.

A request that waits for longer than its sender does is work for nothing. So no more are in progress than are served in
a part of that time, and what comes on top is refused at once, for a tenth of the cost of a signal.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Mapping
from random import uniform
from time import perf_counter
from typing import Final

import structlog
from litestar.types import HTTPScope, Message, Send
from prometheus_client import Counter

from signalhub.shared_metrics import BufferedCounter

SHED_REQUESTS: Final = BufferedCounter(
    Counter("signalhub_http_shed_requests", "Requests refused unread because the process was overloaded.")
)

_TARGET_S: Final = 0.35
"""How long a request that is served is in progress: half of the limits of a commit and of the wait for it."""

_MIN_LIMIT: Final = 128
"""Keeps a process busy: two full batches of signals."""

_START_LIMIT: Final = 512
"""What is in progress at most until it was measured how much is served: a burst of this size is served."""

_MAX_LIMIT: Final = 1024
_SHARE_RESERVE: Final = 256
"""What is added to the limit for senders within their share. Not a part of it, or they would be refused as it falls."""

_MAX_HOLD_S: Final = 1.45
_MIN_HELD_RATE: Final = 1_000
_MAX_HELD_RATE: Final = 4_000
"""Refusals a second from which on they are held back at all, and for as long as possible."""

_OVERLOAD_ENDS_AFTER_S: Final = 2.0
_WINDOW_S: Final = 0.25
_LOG_INTERVAL_S: Final = 1.0
_MAX_KNOWN_CREDENTIALS: Final = 100_000

_TRACE_ID_CHARS: Final = 32
_HOOK_PATH_PREFIX: Final = "/hooks/"
_EXEMPT_PATH_PREFIXES: Final = ("/health", "/metrics", "/api/v1/stream")
"""Health and metrics tell the operator of the overload; a browser's EventSource gives up for good after a 503."""

_log = structlog.get_logger()


class ConcurrencyLimit:
    """How many requests may be in progress: as many as are served in `_TARGET_S`, by Little's law.

    That is measured while requests are refused, because only then as many are served as can be.
    """

    def __init__(self) -> None:
        self.value = _START_LIMIT
        self._last_refused_per_s = 0.0
        self._served = self._refused = 0
        self._window_start = 0.0

    def note_served(self) -> None:
        self._served += 1

    def note_refused(self) -> None:
        self._refused += 1

    @property
    def refused_per_s(self) -> float:
        """How many requests were refused in the last window or, if that is more, in this one."""
        return max(self._last_refused_per_s, self._refused / _WINDOW_S)

    def update(self, now: float) -> None:
        """Adapt the limit at the end of a window."""
        elapsed_s = now - self._window_start
        if elapsed_s < _WINDOW_S:
            return
        if elapsed_s > _OVERLOAD_ENDS_AFTER_S:  # the first window of an overload has not been counted
            self.value = _START_LIMIT
        elif self._refused:
            measured = self._served / elapsed_s * _TARGET_S
            self.value = int(min(max((self.value + measured) / 2, _MIN_LIMIT), _MAX_LIMIT))
        else:
            self.value = min(self.value * 2, _START_LIMIT)
        self._last_refused_per_s = self._refused / elapsed_s
        self._served, self._refused, self._window_start = 0, 0, now


class FairShare:
    """Counts what each account was served, in windows.

    An account's share is what was served in the last window, divided by one more than the accounts that were served. An
    account is known once its credential was authenticated; those that are not known have one share in common.
    """

    def __init__(self) -> None:
        self._accounts: dict[bytes, str] = {}
        self._served, self._served_before = Tally[str](), Tally[str]()
        self._window_end = self._share = 0.0

    def remember(self, credential: bytes, account_id: str) -> None:
        """Note whose credential this is."""
        if len(self._accounts) >= _MAX_KNOWN_CREDENTIALS:
            self._accounts.clear()
        self._accounts[credential] = account_id

    def has_left(self, credential: bytes, now: float) -> bool:
        """Return whether the credential's account used less than its share, in the last window and in this one."""
        self._roll(now)
        account_id = self._accounts.get(credential, "")
        return max(self._served[account_id], self._served_before[account_id]) < self._share

    def count(self, credential: bytes, now: float) -> None:
        """Count a request that is served."""
        self._roll(now)
        self._served[self._accounts.get(credential, "")] += 1

    def _roll(self, now: float) -> None:
        if now >= self._window_end:
            self._share = sum(self._served.values()) / (len(self._served) + 1)
            self._served, self._served_before = Tally(), self._served
            self._window_end = now + _WINDOW_S


class LoadShedder:
    """Decides for each request whether it is served. `refusal` is the body of a refusal, with `%s` for its trace id.

    A client that repeats a refused request at once, on thousands of connections, keeps the process busy with refusals.
    So the more there are, the longer each is held back, for more than a second at last.
    """

    def __init__(self, refusal: bytes) -> None:
        self._refusal, length = refusal, len(refusal % bytes(_TRACE_ID_CHARS))
        self._refusal_start: Message = {
            "type": "http.response.start",
            "status": 503,
            "headers": [
                (b"content-type", b"application/problem+json"),
                (b"retry-after", b"1"),
                (b"content-length", str(length).encode()),
            ],
        }
        self._limit, self._shares = ConcurrencyLimit(), FairShare()
        self._in_progress: Tally[int] = Tally()  # by the second in which they were admitted
        self._overload_end = 0.0
        self._shed_count, self._logged_at = 0, 0.0

    def admit(self, scope: HTTPScope, headers: Mapping[bytes, bytes], now: float) -> bool:
        """Return whether to serve a request that came at `now`; `leave` must follow if so."""
        # A request that takes longer waits for its sender, and takes no place from the others.
        second, credential = int(now), get_credential(scope, headers)
        in_progress = self._in_progress[second] + self._in_progress[second - 1]
        is_near_limit = now < self._overload_end or in_progress >= _START_LIMIT
        if is_near_limit and not self._has_place(scope["path"], credential, in_progress, now):
            self._limit.note_refused()
            self._overload_end = now + _OVERLOAD_ENDS_AFTER_S
            return False
        self._shares.count(credential, now)
        self._in_progress[second] += 1
        return True

    def _has_place(self, path: str, credential: bytes, in_progress: int, now: float) -> bool:
        self._limit.update(now)
        limit = self._limit.value
        if in_progress < limit or path.startswith(_EXEMPT_PATH_PREFIXES):
            return True
        return in_progress < limit + _SHARE_RESERVE and self._shares.has_left(credential, now)

    def leave(
        self, scope: HTTPScope, headers: Mapping[bytes, bytes], account_id: str | None, admitted_at: float
    ) -> None:
        """Note the end of a request, and whose credential it had."""
        second = int(admitted_at)
        self._in_progress[second] -= 1
        if not self._in_progress[second]:
            del self._in_progress[second]
        self._limit.note_served()
        if account_id is not None:
            self._shares.remember(get_credential(scope, headers), account_id)

    async def refuse(self, trace_id: str, send: Send) -> None:
        """Send the refusal: 503, within two seconds."""
        self._count_refusal(perf_counter())
        hold = (self._limit.refused_per_s - _MIN_HELD_RATE) / (_MAX_HELD_RATE - _MIN_HELD_RATE)
        if hold > 0:
            # Spread, or all that were refused at the same moment would come back at the same moment.
            await asyncio.sleep(min(hold, 1.0) * uniform(0.75, 1) * _MAX_HOLD_S)  # noqa: S311 - nothing to guess
        await send(self._refusal_start)
        await send({"type": "http.response.body", "body": self._refusal % trace_id.encode(), "more_body": False})

    def _count_refusal(self, now: float) -> None:
        SHED_REQUESTS.pending[()] += 1
        self._shed_count += 1
        if now - self._logged_at > _LOG_INTERVAL_S:  # a line for each would cost more than the refusal
            _log.warning("web.requests_shed", requests=self._shed_count, limit=self._limit.value)
            self._shed_count, self._logged_at = 0, now


def get_credential(scope: HTTPScope, headers: Mapping[bytes, bytes]) -> bytes:
    """Return what identifies a sender, unchecked: the key or the cookie, or the path of a hook; empty without one."""
    path = scope["path"]
    if path.startswith(_HOOK_PATH_PREFIX):
        return path.encode()
    return headers.get(b"x-api-key") or headers.get(b"authorization") or headers.get(b"cookie") or b""
