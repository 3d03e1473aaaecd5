"""Requests are refused unread while the process is overloaded, and a sender within its share is served first."""

import json
import time
from time import perf_counter
from typing import Any, Final, cast

from litestar.types import HTTPScope, Message

from signalhub.web import problems
from signalhub.web.load_shedding import LoadShedder

SCOPE: Final = cast("HTTPScope", {"path": "/api/v1/signals"})
HEAVY: Final = {b"x-api-key": b"heavy"}
LIGHT: Final = {b"x-api-key": b"light"}


def _make_shedder() -> LoadShedder:
    shedder = LoadShedder(problems.encode_overload_refusal("http://hub"))
    shedder.note_served(SCOPE, HEAVY, "account of heavy")
    shedder.note_served(SCOPE, LIGHT, "account of light")
    return shedder


def _admit(shedder: LoadShedder, headers: dict[bytes, bytes], count: int) -> int:
    """Let requests come whose answers take time; return how many are served."""
    return sum(shedder.admit(SCOPE, headers, perf_counter()) for _ in range(count))


async def test_burst_is_served_while_the_event_loop_is_fast() -> None:
    assert _admit(_make_shedder(), HEAVY, 300) == 300


async def test_blocked_event_loop_limits_requests_in_progress() -> None:
    shedder = _make_shedder()
    assert _admit(shedder, HEAVY, 1) == 1
    time.sleep(0.6)  # noqa: ASYNC251 - what overload does
    assert 30 <= _admit(shedder, HEAVY, 300) < 200


async def test_sender_within_its_share_is_served_first() -> None:
    shedder = _make_shedder()
    _admit(shedder, HEAVY, 40)
    time.sleep(0.6)  # noqa: ASYNC251 - as above, until the next window
    assert _admit(shedder, HEAVY, 300) < 300
    assert _admit(shedder, LIGHT, 5) == 5
    assert _admit(shedder, HEAVY, 5) == 0


async def test_requests_that_have_ended_make_room() -> None:
    shedder = _make_shedder()
    _admit(shedder, HEAVY, 1)
    time.sleep(0.6)  # noqa: ASYNC251 - as above
    for _ in range(300):
        now = perf_counter()
        assert shedder.admit(SCOPE, HEAVY, now)
        shedder.leave(now)


async def test_health_and_streams_are_never_shed() -> None:
    shedder = _make_shedder()
    _admit(shedder, HEAVY, 1)
    time.sleep(0.6)  # noqa: ASYNC251 - as above
    _admit(shedder, HEAVY, 300)
    for path in ("/health/live", "/metrics", "/api/v1/stream"):
        assert shedder.admit(cast("HTTPScope", {"path": path}), HEAVY, perf_counter())


async def test_refusal_is_a_problem_document() -> None:
    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await _make_shedder().refuse("0" * 31 + "7", send)
    start, body = sent
    document = json.loads(body["body"])
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"1")
    assert int(dict(start["headers"])[b"content-length"]) == len(body["body"])
    assert (document["code"], document["trace_id"]) == ("unavailable", "0" * 31 + "7")
    assert document["type"] == "http://hub/docs/errors#unavailable"
