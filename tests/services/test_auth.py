"""The credential cache: polled keys stay cached, revoked ones expire soon."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from signalhub.domain.errors import SignalHubError
from signalhub.services import auth
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp

_CACHE_TTL_S = 0.4


@pytest.fixture
def authenticator(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> auth.Authenticator:
    """Return an authenticator with an empty cache whose entries live for less than two seconds."""
    monkeypatch.setattr(auth, "CREDENTIAL_CACHE_TTL_S", _CACHE_TTL_S)
    return auth.Authenticator(app.services.engine)


@contextmanager
def record_statements(app: RunningApp) -> Iterator[list[str]]:
    """Collect the SQL statements of the block."""
    statements: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(app.services.engine.sync_engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(app.services.engine.sync_engine, "before_cursor_execute", record)


async def _poll_inactive_keys(authenticator: auth.Authenticator, key_id: str, seconds: float) -> set[str]:
    inactive = set[str]()
    for _ in range(int(seconds / 0.1)):
        await asyncio.sleep(0.1)
        inactive |= await authenticator.find_inactive_keys([key_id])
    return inactive


async def test_cached_key_expires(app: RunningApp, account: AccountClient, authenticator: auth.Authenticator) -> None:
    await authenticator.authenticate_key(account.api_key)
    with record_statements(app) as statements:
        await authenticator.authenticate_key(account.api_key)
        assert not statements
        await asyncio.sleep(_CACHE_TTL_S + 0.1)
        await authenticator.authenticate_key(account.api_key)
        assert len(statements) == 1


async def test_polled_key_stays_cached(
    app: RunningApp, account: AccountClient, authenticator: auth.Authenticator
) -> None:
    principal = await authenticator.authenticate_key(account.api_key)
    assert not await _poll_inactive_keys(authenticator, principal.credential_id, 3 * _CACHE_TTL_S)
    with record_statements(app) as statements:
        assert await authenticator.authenticate_key(account.api_key) == principal
        assert not statements


async def test_polled_key_is_refused_soon_after_revocation(
    app: RunningApp, account: AccountClient, authenticator: auth.Authenticator
) -> None:
    made = await account.post("/api/v1/keys", {})
    await authenticator.authenticate_key(made["api_key"])
    await app.services.keys.revoke(account.id, made["id"])
    assert await _poll_inactive_keys(authenticator, made["id"], 2 * _CACHE_TTL_S) == {made["id"]}
    with pytest.raises(SignalHubError, match="revoked_key"):
        await authenticator.authenticate_key(made["api_key"])
