"""What clients saw, written down as it happens, outside the system that is being judged.

One JSON line for each acknowledgement, each failed request and each event a subscriber was given. The file is read
again for the verdict: nothing that the service says of itself counts as an observation.
"""

from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import msgspec


class AnswerObserved(msgspec.Struct, frozen=True, tag="answered"):
    """A request got an answer, `took_s` after it was sent."""

    key: str
    account_id: str
    status: int
    body: Any
    took_s: float


class ConnectionLost(msgspec.Struct, frozen=True, tag="cut"):
    """A request's connection broke: nobody knows what became of it."""

    key: str
    account_id: str
    error: str
    took_s: float


class EventObserved(msgspec.Struct, frozen=True, tag="saw"):
    """A subscriber was given an event: its number and its exact text."""

    subscriber: str
    account_id: str
    seq: int
    body: str
    at: float


class ControlEventObserved(msgspec.Struct, frozen=True, tag="told"):
    """A subscriber was told something about its stream, such as that it begins elsewhere."""

    subscriber: str
    account_id: str
    what: str
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
        """Everything noted so far, from the file."""
        self._file.flush()
        with self._path.open("rb") as lines:
            for line in lines:
                yield _decode_observation(line)

    def close(self) -> None:
        self._file.close()


def unix_time_s() -> float:
    """Unix seconds: comparable with the times in the log, since all runs on one machine."""
    return time()
