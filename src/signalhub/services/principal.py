"""Who is asking, and what for."""

from typing import Final

import msgspec

from signalhub.domain.errors import SignalHubError

WRITE_SIGNALS: Final = "signals:write"
READ_ORDERS: Final = "orders:read"
WRITE_ORDERS: Final = "orders:write"
ADMIN: Final = "account:admin"
SCOPES: Final = (WRITE_SIGNALS, READ_ORDERS, WRITE_ORDERS, ADMIN)


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An account, by way of one of its keys or hooks."""

    account_id: str
    credential_id: str
    scopes: frozenset[str]

    def require_scope(self, scope: str) -> "Principal":
        """Itself, or raises `missing_scope`."""
        if scope not in self.scopes:
            raise SignalHubError("missing_scope", f"This needs a key with the scope {scope}.")
        return self


class HookPrincipal(Principal, frozen=True, kw_only=True):
    """`sealed_secret` is None where the hook takes unsigned signals."""

    encrypted_secret: bytes | None
    duplicate_window_s: int
