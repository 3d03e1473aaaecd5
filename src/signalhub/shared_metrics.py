"""Prometheus values of all processes of an installation on one host, updated at next to no cost where it matters.

Where PROMETHEUS_MULTIPROC_DIR is set before prometheus_client is first imported, its values live in files of that
directory, and `/metrics` of any web process answers for all web and worker processes that share it. Without it a
process answers for itself alone. So nothing here imports prometheus_client before `share_directory` has run.
"""

import asyncio
import os
from collections import Counter as Tally
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from signalhub.process_upkeep import is_process_running

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_FLUSH_INTERVAL_S: Final = 1.0


class BufferedCounter:
    """A counter whose increments are plain additions to `pending`, by label values, until `flush`.

    An increment of the library costs as much as a write to a stream: too much for what is counted with every write.
    """

    def __init__(self, counter: "Counter") -> None:
        self._counter = counter
        self.pending: Tally[tuple[str, ...]] = Tally()
        _buffers.append(self)

    def flush(self) -> None:
        pending, self.pending = self.pending, Tally()
        for labels, count in pending.items():
            (self._counter.labels(*labels) if labels else self._counter).inc(count)


class BufferedHistogram:
    """A histogram without labels whose observations are appended to `pending` until `flush`."""

    def __init__(self, histogram: "Histogram") -> None:
        self._histogram = histogram
        self.pending: list[float] = []
        _buffers.append(self)

    def flush(self) -> None:
        pending, self.pending = self.pending, []
        for value in pending:
            self._histogram.observe(value)


_buffers: Final[list[BufferedCounter | BufferedHistogram]] = []


def flush() -> None:
    """Update the metrics of this process by what is buffered. Due before every scrape, by whichever process answers."""
    for buffer in _buffers:
        buffer.flush()


async def flush_forever() -> NoReturn:
    """Let a scrape that another process answers see the values of this one."""
    while True:
        await asyncio.sleep(_FLUSH_INTERVAL_S)
        flush()


def share_directory(directory: Path) -> None:
    """Keep the values of this process and of its children in `directory`, emptied first.

    A directory that the environment names already wins and is not emptied: other processes may use it too.
    """
    if given := os.environ.get(DIRECTORY_VARIABLE):
        Path(given).mkdir(parents=True, exist_ok=True)
        return
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink(missing_ok=True)
    os.environ[DIRECTORY_VARIABLE] = str(directory)


def render() -> bytes:
    """Return the values in Prometheus' text format."""
    from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess  # noqa: PLC0415 - see above

    flush()
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory:
        return generate_latest(REGISTRY)
    _forget_ended_processes(Path(directory))
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _forget_ended_processes(directory: Path) -> None:
    """Remove the gauges of processes that were killed: nothing else would subtract their open streams."""
    from prometheus_client import multiprocess  # noqa: PLC0415 - see above

    for pid in {file.stem.rpartition("_")[2] for file in directory.glob("gauge_live*_*.db")}:
        if not is_process_running(int(pid)):
            multiprocess.mark_process_dead(int(pid), str(directory))  # type: ignore[no-untyped-call]
