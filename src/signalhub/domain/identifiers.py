"""Identifiers: credentials as text (`shk_<id>_<secret><checksum>`) and time-ordered UUIDs (version 7, RFC 9562).

The checksum tells a mistyped key from a revoked one without a query, as in GitHub's token format. The id and a SHA-256
of the secret are stored; a secret of 256 random bits needs no slow hash.
"""

import hashlib
import hmac
import re
import string
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from signalhub.domain.errors import Notice, SignalHubError

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


def mint_token(prefix: str, entropy: bytes, *, id_: str | None = None) -> Token:
    """Create a token from TOKEN_ENTROPY_BYTES random bytes, with a new secret for `id_` or for an id of its own."""
    id_ = id_ or _encode_base62(entropy[:12], _ID_LENGTH)
    secret = _encode_base62(entropy[12:TOKEN_ENTROPY_BYTES], _SECRET_LENGTH)
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


_CREDENTIAL_KINDS: Final = {
    API_KEY_PREFIX: "API key",
    HOOK_PREFIX: "hook token",
    TICKET_PREFIX: "ticket",
    SIGN_IN_PREFIX: "sign-in link",
}
_SECRET_MARKERS: Final = (*(f"{prefix}_" for prefix in _CREDENTIAL_KINDS), "whsec_")
# Also a secret that is mistyped or cut short: what is left of it would be enough to find the rest by its checksum. The
# lookbehind has the prefix and the id, so a match is the secret alone, and no match can hide the start of the next one.
# PHP writes a slash in JSON as \/, .NET a plus as \u002B, and a form has them as %2F and %2B.
_SECRET: Final = re.compile(
    rf"(?<=sh[khts]_[0-9A-Za-z]{{{_ID_LENGTH}}}_)[0-9A-Za-z]{{16,}}"
    r"|(?<=whsec_)(?:[0-9A-Za-z+/]|\\/|\\u002[BbFf]|%2[BbFf]){24,}(?:=|\\u003[Dd]|%3[Dd])*"
)


class MaskedText(msgspec.Struct, frozen=True):
    """A text whose secrets are asterisks. `credentials` names each of them, such as `API key shk_…`, without secret."""

    text: str
    credentials: tuple[str, ...] = ()


def mask_secrets(text: str) -> MaskedText:
    """Replace each character of a secret of this service by an asterisk, so that all positions stay as they are.

    A secret is that of an API key, hook token, ticket or sign-in link, or a hook's signing secret. What is before it
    stays: it names the credential, and is no secret.
    """
    if not any(marker in text for marker in _SECRET_MARKERS):
        return MaskedText(text)
    credentials = [_describe_credential(text, match.start()) for match in _SECRET.finditer(text)]
    masked = _SECRET.sub(lambda match: "*" * len(match[0]), text)
    return MaskedText(masked, tuple(dict.fromkeys(credentials)))


def mask_secrets_in_bytes(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Mask a body, also one that is not UTF-8. Returns it and the names of the credentials, as `MaskedText` does."""
    # No secret is without an underscore, and no text of the base form has one.
    if b"_" not in raw:
        return raw, ()
    masked = mask_secrets(raw.decode("latin-1"))  # one character for each byte
    return (masked.text.encode("latin-1"), masked.credentials) if masked.credentials else (raw, ())


def to_masking_notices(credentials: Sequence[str]) -> tuple[Notice, ...]:
    """Return a notice that names the masked credentials, none if there are none."""
    if not credentials:
        return ()
    names = ", ".join(dict.fromkeys(credentials))
    detail = (
        f"The text contains a secret ({names}). It was masked before the text was stored or shown to anyone. If others "
        "may have read the text on its way, revoke the credential and use a new one."
    )
    return (Notice("credential_masked", detail),)


def _describe_credential(text: str, secret_start: int) -> str:
    name = text[max(0, secret_start - _ID_LENGTH - 5) : secret_start - 1]
    kind = _CREDENTIAL_KINDS.get(name[:3])
    return "hook's signing secret" if kind is None or name.endswith("whsec") else f"{kind} {name}"


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
