"""The log of a worker: one line a message, with the trace ids of its orders."""

from collections.abc import MutableMapping
from typing import Any

import dramatiq
import pytest
import structlog
from dramatiq.brokers.stub import StubBroker
from structlog.contextvars import merge_contextvars
from structlog.testing import LogCapture

from actors.worker import LogContext
from signalhub import jobs


def _process(message: "dramatiq.Message[None]", exception: Exception | None = None) -> MutableMapping[str, Any]:
    """Return the log line of a message."""
    capture = LogCapture()
    structlog.configure(processors=[merge_contextvars, capture])
    middleware, broker = LogContext(), StubBroker(middleware=[])
    try:
        middleware.before_process_message(broker, message)
        middleware.after_process_message(broker, message, exception=exception)
    finally:
        structlog.reset_defaults()
    (line,) = capture.entries
    return line


def test_message_of_one_order_carries_its_trace_id() -> None:
    message = jobs.build_message(jobs.ADVANCE_ACTOR, ["a"], trace_ids=["t"])
    line = _process(message)
    assert (line["event"], line["actor"], line["orders"]) == ("message.processed", "orders.advance", 1)
    assert (line["trace_id"], line["message_id"]) == ("t", message.message_id)
    assert structlog.contextvars.get_contextvars() == {}


def test_message_of_a_batch_names_every_trace_id() -> None:
    line = _process(jobs.build_message(jobs.ADVANCE_ACTOR, ["a", "b"], trace_ids=["t", "u"]))
    assert line["trace_ids"] == ["t", "u"]
    assert "trace_id" not in line


@pytest.mark.parametrize(
    "message", [jobs.build_message(jobs.SWEEP_ACTOR), jobs.build_message(jobs.ADVANCE_ACTOR, ["a"])]
)
def test_message_without_trace_ids_is_logged(message: "dramatiq.Message[None]") -> None:
    """As those are that an older version has enqueued."""
    line = _process(message)
    assert line["event"] == "message.processed"
    assert not {"trace_id", "trace_ids"} & set(line)


def test_failed_message_is_logged_with_its_error() -> None:
    line = _process(jobs.build_message(jobs.SWEEP_ACTOR), ValueError("no"))
    assert (line["event"], line["log_level"], line["error"]) == ("message.failed", "warning", "ValueError('no')")
