"""Record which functions of this project a process calls, and when.

Python imports a `sitecustomize` that stands on PYTHONPATH at every start: so the processes of `signalhub up` are
traced without a line of tracing in them. On SIGUSR1 what was recorded so far is appended to a file.
"""

import os
import signal
import sys
import threading
import time
from types import CodeType, FrameType
from typing import Any, Final

_DIRECTORY: Final = os.environ.get("SIGNAL_TRACE_DIRECTORY", "")
_ROOTS: Final = tuple(filter(None, os.environ.get("SIGNAL_TRACE_ROOTS", "").split(os.pathsep)))

_calls: list[tuple[int, CodeType]] = []
_is_own: dict[CodeType, bool] = {}


def _record(frame: FrameType, event: str, _argument: Any) -> None:  # noqa: ANN401 - as sys.setprofile has it
    if event != "call":
        return
    code = frame.f_code
    own = _is_own.get(code)
    if own is None:
        own = _is_own[code] = code.co_filename.startswith(_ROOTS) and not code.co_name.startswith("<")
    if own:
        _calls.append((time.monotonic_ns(), code))


def _write(_signal: int, _frame: FrameType | None) -> None:
    # Swapped first: other threads go on recording while this one writes.
    global _calls
    calls, _calls = _calls, []
    with open(f"{_DIRECTORY}/{os.getpid()}.calls", "a", encoding="utf-8") as file:  # noqa: PTH123 - imports little
        file.writelines(f"{at_ns}\t{code.co_filename}\t{code.co_qualname}\n" for at_ns, code in calls)
        file.write("end\n")


if _DIRECTORY and _ROOTS:
    sys.setprofile(_record)
    threading.setprofile(_record)
    signal.signal(signal.SIGUSR1, _write)
