"""Dramatiq middleware: the log context of a message, and one canonical log line when it has ended."""

from threading import local
from time import monotonic, time
from typing import Any

import dramatiq
import structlog
from dramatiq.middleware import Middleware
from structlog.contextvars import bind_contextvars, unbind_contextvars

from signalhub.jobs import TRACE_IDS_OPTION

_CONTEXT_KEYS = ("message_id", "trace_id")

_log = structlog.get_logger()


class LogContext(Middleware):
    """Binds `message_id`, and `trace_id` for a message about one order. The actor's task inherits both."""

    def __init__(self) -> None:
        self._thread = local()  # a worker thread handles one message at a time

    def before_process_message(self, _broker: dramatiq.Broker, message: Any) -> None:  # noqa: ANN401 - a proxy
        context = {"message_id": message.message_id}
        trace_ids = message.options.get(TRACE_IDS_OPTION, ())
        if len(trace_ids) == 1:  # a batch has up to 200; the line at its end names them
            context["trace_id"] = trace_ids[0]
        bind_contextvars(**context)
        self._thread.started_at = monotonic()

    def after_process_message(
        self,
        _broker: dramatiq.Broker,
        message: Any,  # noqa: ANN401 - a proxy
        *,
        result: object = None,  # noqa: ARG002 - Dramatiq passes it by name; actors return nothing
        exception: BaseException | None = None,
    ) -> None:
        values: dict[str, object] = {
            "actor": message.actor_name,
            "orders": len(message.args[0]) if message.args else 0,
            "duration_ms": round((monotonic() - self._thread.started_at) * 1000, 1),
            "age_ms": round(time() * 1000) - message.message_timestamp,
        }
        trace_ids = message.options.get(TRACE_IDS_OPTION, ())
        if len(trace_ids) > 1:
            values["trace_ids"] = trace_ids
        if exception is None:
            _log.info("message.processed", **values)
        else:  # Dramatiq logs the traceback
            _log.warning("message.failed", **values, error=repr(exception))
        unbind_contextvars(*_CONTEXT_KEYS)
