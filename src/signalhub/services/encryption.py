"""Encrypt secrets at rest: Fernet with several keys, each token bound to the row it belongs to.

Fernet has no associated data, so the name of the row is inside: a token copied to another row does not decrypt there.
"""

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class EncryptionError(Exception):
    """No key decrypts this token, or it belongs to another row; or the keys themselves are unusable."""


class Encryption:
    """`encryption_keys` are separated by commas: the first encrypts, all decrypt. Raises EncryptionError."""

    def __init__(self, encryption_keys: str) -> None:
        parts = [part.strip() for part in encryption_keys.split(",") if part.strip()]
        if not parts:
            raise EncryptionError("SIGNALHUB_ENCRYPTION_KEYS is empty; make a key with `signalhub key encryption`.")
        try:
            self._fernet = MultiFernet([Fernet(part) for part in parts])
        except ValueError:
            raise EncryptionError("SIGNALHUB_ENCRYPTION_KEYS holds something that is no Fernet key.") from None

    def encrypt(self, context: str, secret: str) -> bytes:
        """Return a token that decrypts only with the same `context`, the name of its row."""
        return self._fernet.encrypt(msgspec.json.encode((context, secret)))

    def decrypt(self, context: str, token: bytes, *, max_age_s: int | None = None) -> str:
        """Return the secret. `max_age_s` counts from the encryption. Raises EncryptionError."""
        try:
            token_context, secret = msgspec.json.decode(self._fernet.decrypt(token, max_age_s), type=tuple[str, str])
        except (InvalidToken, msgspec.MsgspecError):
            raise EncryptionError("The secret cannot be opened.") from None
        if token_context != context:
            raise EncryptionError("The secret belongs to something else.")
        return secret

    def rotate(self, token: bytes) -> bytes:
        """Return the same secret encrypted with the first key. Raises EncryptionError."""
        try:
            return self._fernet.rotate(token)
        except InvalidToken:
            raise EncryptionError("A secret was sealed with a key that is not in SIGNALHUB_ENCRYPTION_KEYS.") from None


def generate_encryption_key() -> str:
    return Fernet.generate_key().decode()
