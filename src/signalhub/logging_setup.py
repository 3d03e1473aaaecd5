"""Logging: events with keys, as JSON, or as text on a terminal.

Event names are dotted constants (`signal.accepted`), data goes in keys. Bodies, headers and credentials are never
logged; `redact_event` only limits the damage where that rule was broken. The line of a request is written in
`signalhub.web.request_context`, that of a worker message in `actors.worker`.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_CREDENTIAL_PATTERN: Final = re.compile(r"(sh[khts]_[A-Za-z0-9]+)_[A-Za-z0-9]+|whsec_[A-Za-z0-9+/=]+")


def configure(level: str = "info", log_format: str = "auto", *, color: bool | None = None) -> None:
    """Set up structlog and the standard library's loggers, for this process and those that it forks.

    `color` is for lines that are not JSON; None: in colours on a terminal only.
    """
    is_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    has_color = sys.stderr.isatty() if color is None else color
    level_number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,  # first, so that every other processor sees bound values
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # before redaction: a traceback can hold a credential too
            redact_event,
            structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer(colors=has_color),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level_number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=max(level_number, logging.WARNING), handlers=[_StdlibLogHandler()], force=True)


class _StdlibLogHandler(logging.Handler):
    """Passes log lines of the standard library, and so of libraries, to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        method = {"WARNING": log.warning, "ERROR": log.error, "CRITICAL": log.critical}.get(record.levelname, log.info)
        method(record.name, message=record.getMessage(), exc_info=record.exc_info)


def redact_event(_logger: object, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event_dict.items():
        event_dict[key] = _redact_value(value)
    return event_dict


def _redact_value(value: Any) -> Any:  # noqa: ANN401 - whatever was logged
    match value:
        case str():
            return redact(value)
        case list() | tuple():
            return [_redact_value(item) for item in value]
        case dict():
            return {key: _redact_value(item) for key, item in value.items()}
        case _:
            return value


def redact(text: str) -> str:
    """Return `text` without the secret part of any credential of this service."""
    return _CREDENTIAL_PATTERN.sub(lambda match: f"{match[1]}_***" if match[1] else "***", text)
