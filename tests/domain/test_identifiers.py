"""UUIDs of version 7: layout, order and time."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from signalhub.domain.identifiers import parse_uuid7_time, uuid7
from tests.kit.order_factory import NOON

MS = st.integers(0, 2**48 - 1)
NOISE = st.binary(min_size=10, max_size=10)


@given(MS, NOISE)
def test_uuid7_has_version_seven_and_timestamp(unix_ms: int, noise: bytes) -> None:
    id_ = UUID(uuid7(unix_ms, noise))
    assert (id_.version, id_.variant) == (7, "specified in RFC 4122")
    assert id_.int >> 80 == unix_ms


@given(MS, MS, NOISE, NOISE)
def test_uuid7_ids_sort_by_time(first_ms: int, second_ms: int, first_noise: bytes, second_noise: bytes) -> None:
    if first_ms != second_ms:
        assert (uuid7(first_ms, first_noise) < uuid7(second_ms, second_noise)) == (first_ms < second_ms)


def test_uuid7_time_is_parsed_back() -> None:
    assert parse_uuid7_time(uuid7(int(NOON.timestamp() * 1000), b"\0" * 10)) == NOON
