"""Identifiers: credentials as text (`shk_<id>_<secret><checksum>`) and time-ordered UUIDs (version 7, RFC 9562).

The checksum tells a mistyped key from a revoked one without a query, as in GitHub's token format. The id and a SHA-256
of the secret are stored; a secret of 256 random bits needs no slow hash.
"""

import hashlib
import hmac
import string
import zlib
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from signalhub.domain.errors import SignalHubError

API_KEY_PREFIX: Final = "shk"
HOOK_PREFIX: Final = "shh"
TICKET_PREFIX: Final = "sht"
SIGN_IN_PREFIX: Final = "shs"

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LENGTH: Final = 12
_SECRET_LENGTH: Final = 43  # 62**43 > 2**256
_CHECKSUM_LENGTH: Final = 6  # 62**6 > 2**32
TOKEN_ENTROPY_BYTES: Final = 48


class Token(msgspec.Struct, frozen=True):
    """A credential taken apart. `digest` is what may be stored; `text` is shown once and never kept."""

    text: str
    id: str
    digest: bytes

    def __repr__(self) -> str:
        return f"Token({self.id})"

    def matches(self, digest: bytes) -> bool:
        return hmac.compare_digest(self.digest, digest)


def mint_token(prefix: str, entropy: bytes) -> Token:
    """Create a token from TOKEN_ENTROPY_BYTES random bytes."""
    id_, secret = (
        _encode_base62(entropy[:12], _ID_LENGTH),
        _encode_base62(entropy[12:TOKEN_ENTROPY_BYTES], _SECRET_LENGTH),
    )
    head = f"{prefix}_{id_}_{secret}"
    return Token(head + _checksum(head), id_, _hash_secret(secret))


def parse_token(prefix: str, text: str) -> Token:
    """Take a token apart; raises SignalHubError `mistyped_key` where form or checksum is off."""
    kind, _, rest = text.partition("_")
    id_, _, secret = rest.partition("_")
    body, checksum = secret[:_SECRET_LENGTH], secret[_SECRET_LENGTH:]
    if kind != prefix or len(id_) != _ID_LENGTH or not text.isascii():
        raise SignalHubError("mistyped_key", f"This does not look like a credential: it should begin with {prefix}_.")
    if not hmac.compare_digest(checksum, _checksum(f"{prefix}_{id_}_{body}")):
        raise SignalHubError("mistyped_key", "This credential is mistyped or cut short: its checksum does not match.")
    return Token(text, id_, _hash_secret(body))


def _hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checksum(text: str) -> str:
    return _encode_base62(zlib.crc32(text.encode()).to_bytes(4, "big"), _CHECKSUM_LENGTH)


def _encode_base62(raw: bytes, length: int) -> str:
    number, digits = int.from_bytes(raw, "big"), []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(digits)


_RANDOM_MASK = (1 << 74) - 1


def uuid7(timestamp_ms: int, entropy: bytes) -> str:
    """Create the id for an instant in Unix milliseconds from at least ten random bytes.

    Time first, so that an index on it grows at one end and a page of ids is in order of age.
    """
    noise = int.from_bytes(entropy[:10], "big") & _RANDOM_MASK
    head, tail = noise >> 62, noise & ((1 << 62) - 1)
    text = f"{timestamp_ms << 80 | 0x7 << 76 | head << 64 | 0b10 << 62 | tail:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_uuid7_time(uuid: str) -> datetime:
    """Return the instant an id was made, to the millisecond."""
    return datetime.fromtimestamp((UUID(uuid).int >> 80) / 1000, tz=UTC)
