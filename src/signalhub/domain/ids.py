"""Names for things: time-ordered ids (UUID version 7, RFC 9562) and trace ids (W3C Trace Context)."""

from datetime import UTC, datetime
from uuid import UUID

_RANDOM_MASK = (1 << 74) - 1


def uuid7(timestamp_ms: int, entropy: bytes) -> str:
    """The id for an instant in Unix milliseconds; `entropy` is at least ten random bytes.

    Time first, so that an index on it grows at one end and a page of ids is in order of age.
    """
    noise = int.from_bytes(entropy[:10], "big") & _RANDOM_MASK
    head, tail = noise >> 62, noise & ((1 << 62) - 1)
    text = f"{timestamp_ms << 80 | 0x7 << 76 | head << 64 | 0b10 << 62 | tail:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_uuid7_time(uuid: str) -> datetime:
    """The instant an id was made, to the millisecond."""
    return datetime.fromtimestamp((UUID(uuid).int >> 80) / 1000, tz=UTC)
