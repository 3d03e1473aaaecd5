"""Secrets at rest: Fernet with several keys, each token bound to the row it belongs to.

Fernet has no associated data, so the row's name goes inside: a token copied to another row does not open there.
"""

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class VaultError(Exception):
    """No key opens this, or it was made for something else."""


class Vault:
    """`keys`: the first encrypts, all decrypt."""

    def __init__(self, keys: str) -> None:
        parts = [part.strip() for part in keys.split(",") if part.strip()]
        if not parts:
            raise VaultError("SIGNALHUB_ENCRYPTION_KEYS is empty; make a key with `signalhub key encryption`.")
        try:
            self._fernet = MultiFernet([Fernet(part) for part in parts])
        except ValueError:
            raise VaultError("SIGNALHUB_ENCRYPTION_KEYS holds something that is no Fernet key.") from None

    def seal(self, name: str, secret: str) -> bytes:
        return self._fernet.encrypt(msgspec.json.encode((name, secret)))

    def open(self, name: str, token: bytes, *, max_age_s: int | None = None) -> str:
        """Raises VaultError; `max_age_s` counts from when the token was made."""
        try:
            sealed_for, secret = msgspec.json.decode(self._fernet.decrypt(token, max_age_s), type=tuple[str, str])
        except (InvalidToken, msgspec.MsgspecError):
            raise VaultError("The secret cannot be opened.") from None
        if sealed_for != name:
            raise VaultError("The secret belongs to something else.")
        return secret

    def rotate(self, token: bytes) -> bytes:
        """The same secret under the first key. Raises VaultError."""
        try:
            return self._fernet.rotate(token)
        except InvalidToken:
            raise VaultError("A secret was sealed with a key that is not in SIGNALHUB_ENCRYPTION_KEYS.") from None


def new_key() -> str:
    return Fernet.generate_key().decode()
