"""Parse forced outcomes of an order: the header `X-SignalHub-Simulate` and the directive `#sim …`.

Directives are separated by blanks, commas or semicolons: `fail=3 fill_after=2s outcome=take_profit`.
"""

import re
from datetime import timedelta
from typing import Final

import msgspec

from signalhub.domain.errors import Problem
from signalhub.domain.order import CloseReason, Simulation

_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)?", re.ASCII)
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_COUNT: Final = re.compile(r"\d{1,9}", re.ASCII)
_REASON_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_OUTCOMES: Final = (CloseReason.TAKE_PROFIT, CloseReason.STOP_LOSS)
_MAX_FAILURES: Final = 100

SYNTAX_HINT: Final = (
    "Say one or more of reject=insufficient_margin, fail=3, fill_after=2s, close_after=5s, "
    "outcome=take_profit, outcome=stop_loss."
)


NO_SIMULATION: Final = Simulation()


def parse(text: str | None) -> Simulation | Problem:
    """Parse directives, or return the problem `bad_simulation` that names the first invalid one."""
    text = text or ""
    directives: dict[str, object] = {"text": text}
    for directive in re.split(r"[\s,;]+", text.strip()):
        if not directive:
            continue
        name, _, value = directive.partition("=")
        name = name.lower()
        parsed_value = _parse_value(name, value.lower())
        if parsed_value is None or name in directives:
            return Problem(code="bad_simulation", text=directive[:64], length=len(directive), hint=SYNTAX_HINT)
        directives[name] = parsed_value
    return msgspec.convert(directives, Simulation)


def from_stored_text(text: str | None) -> Simulation | None:
    """Parse a text that was accepted before. One that is no longer understood forces nothing."""
    if text is None:
        return None
    parsed = parse(text)
    return parsed if isinstance(parsed, Simulation) else Simulation(text=text)


def _parse_value(name: str, value: str) -> object | None:
    match name:
        case "reject":
            return value if _REASON_CODE.fullmatch(value) else None
        case "fail":
            return int(value) if _COUNT.fullmatch(value) and int(value) <= _MAX_FAILURES else None
        case "fill_after" | "close_after":
            return _parse_duration(value)
        case "outcome":
            return next((reason for reason in _OUTCOMES if reason == value), None)
        case _:
            return None


def _parse_duration(text: str) -> timedelta | None:
    match = _DURATION.fullmatch(text)
    return timedelta(seconds=float(match[1]) * _UNIT_SECONDS[match[2] or "s"]) if match else None
