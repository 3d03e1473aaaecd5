"""Record what clients observe, outside the system under test.

One JSON line for each answer, each failed request and each event that a subscriber received. The invariant checks read
the file; nothing that the service reports about itself counts as an observation.
"""

from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import msgspec


class AnswerObserved(msgspec.Struct, frozen=True, tag="answer"):
    """A request was answered, `took_s` after it was sent."""

    key: str
    account_id: str
    status: int
    body: Any
    took_s: float


class ConnectionLost(msgspec.Struct, frozen=True, tag="connection_lost"):
    """The connection of a request broke, so its outcome is unknown."""

    key: str
    account_id: str
    error: str
    took_s: float


class EventObserved(msgspec.Struct, frozen=True, tag="event"):
    """A subscriber received an event, with this number and exact text."""

    subscriber: str
    account_id: str
    seq: int
    body: str
    at: float


class ControlEventObserved(msgspec.Struct, frozen=True, tag="control_event"):
    """A subscriber received a control event, such as a reset."""

    subscriber: str
    account_id: str
    event_type: str
    body: str


Observation = AnswerObserved | ConnectionLost | EventObserved | ControlEventObserved

_encode_observation = msgspec.json.Encoder().encode
_decode_observation = msgspec.json.Decoder(Observation).decode


class ObservationLog:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")

    def record(self, observation: Observation) -> None:
        self._file.write(_encode_observation(observation) + b"\n")

    def read_all(self) -> Iterator[Observation]:
        """Yield everything recorded so far, from the file."""
        self._file.flush()
        with self._path.open("rb") as lines:
            for line in lines:
                yield _decode_observation(line)

    def close(self) -> None:
        self._file.close()


def unix_time_s() -> float:
    """Return Unix seconds, comparable with the times in the log because all runs on one machine."""
    return time()
