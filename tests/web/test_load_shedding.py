"""Requests are refused unread while the process is overloaded, and a sender within its share is served first."""

import json
from typing import Any, Final, cast

import pytest
from litestar.types import HTTPScope, Message

from signalhub.web import problems
from signalhub.web.load_shedding import LoadShedder

SCOPE: Final = cast("HTTPScope", {"path": "/api/v1/signals"})
HEAVY: Final = {b"x-api-key": b"heavy"}
LIGHT: Final = {b"x-api-key": b"light"}
START_LIMIT: Final = 512


class Process:
    """A process that serves `per_second` requests, in the order in which they came, on a clock of its own."""

    def __init__(self, per_second: float = 1_000) -> None:
        self.shedder = LoadShedder(problems.encode_overload_refusal("http://hub"))
        self.now, self._per_second, self._due = 1000.0, per_second, 0.0
        self.waiting: list[tuple[float, dict[bytes, bytes]]] = []
        self.longest_wait_s = 0.0

    def offer(self, headers: dict[bytes, bytes], count: int = 1, path: str = "/api/v1/signals") -> int:
        """Let requests come at once; return how many are served."""
        admitted = sum(self.shedder.admit(cast("HTTPScope", {"path": path}), headers, self.now) for _ in range(count))
        self.waiting += [(self.now, headers)] * admitted
        return admitted

    def run(self, seconds: float) -> None:
        """Serve what waits."""
        self.now += seconds
        self._due += seconds * self._per_second
        while self._due >= 1 and self.waiting:
            self._due -= 1
            admitted_at, headers = self.waiting.pop(0)
            self.longest_wait_s = max(self.longest_wait_s, self.now - admitted_at)
            self.shedder.leave(SCOPE, headers, f"account of {headers!r}", admitted_at)
        self._due = self._due if self.waiting else 0.0


def test_burst_is_served() -> None:
    assert Process().offer(HEAVY, 300) == 300


def test_requests_in_progress_are_limited() -> None:
    process = Process()
    assert process.offer(HEAVY, 2000) == START_LIMIT
    process.run(0.1)
    assert process.offer(HEAVY, 2000) == pytest.approx(100, abs=1)


def test_request_that_waits_for_its_sender_takes_no_place_for_long() -> None:
    process = Process(per_second=0)
    process.offer(HEAVY, START_LIMIT)
    assert process.offer(HEAVY) == 0
    process.now += 2
    assert process.offer(HEAVY, START_LIMIT) == START_LIMIT


@pytest.mark.parametrize("per_second", [300, 1_000, 2_500])
def test_as_much_is_served_as_can_be_and_soon(per_second: float) -> None:
    process, served = Process(per_second), 0
    for step in range(600):
        admitted = process.offer(HEAVY, int(per_second * 3 / 100))
        process.run(0.01)
        if step == 400:
            served = process.longest_wait_s = 0
        served += admitted
    assert served >= 0.95 * per_second * 2
    assert process.longest_wait_s < 0.7


def test_limit_is_what_it_was_once_the_overload_has_ended() -> None:
    process = Process(per_second=200)
    for _ in range(300):
        process.offer(HEAVY, 20)
        process.run(0.01)
    assert process.offer(HEAVY, 2000) < 100
    process.run(10)
    assert process.offer(HEAVY, 2000) == START_LIMIT


def test_sender_within_its_share_is_served_first() -> None:
    process, light = Process(), 0
    for step in range(600):
        process.offer(HEAVY, 30)
        is_after_first_windows = step >= 100
        light += process.offer(LIGHT) if is_after_first_windows else min(0, process.offer(LIGHT))
        process.run(0.01)
    assert light >= 475  # of 500


def test_health_and_streams_are_never_shed() -> None:
    process = Process()
    process.offer(HEAVY, 2000)
    for path in ("/health/live", "/metrics", "/api/v1/stream"):
        assert process.offer(HEAVY, path=path) == 1


async def test_refusal_is_a_problem_document() -> None:
    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await Process().shedder.refuse("0" * 31 + "7", send)
    start, body = sent
    document = json.loads(body["body"])
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"1")
    assert int(dict(start["headers"])[b"content-length"]) == len(body["body"])
    assert (document["code"], document["trace_id"]) == ("unavailable", "0" * 31 + "7")
