"""A key that is looked after need not be read again when it is used, and a revoked one is not believed for long."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from signalhub.domain.errors import SignalHubError
from signalhub.services import keyring
from tests.kit.hub import RunningApp
from tests.kit.trader import AccountClient

_BELIEVED_S = 0.4


@pytest.fixture
def found(hub: RunningApp, monkeypatch: pytest.MonkeyPatch) -> keyring.Authenticator:
    """A keyring that knows nothing yet, and believes what it reads for less than two seconds."""
    monkeypatch.setattr(keyring, "CREDENTIAL_CACHE_TTL_S", _BELIEVED_S)
    return keyring.Authenticator(hub.services.engine)


@contextmanager
def statements(hub: RunningApp) -> Iterator[list[str]]:
    """What the database is asked meanwhile."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(hub.services.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(hub.services.engine.sync_engine, "before_cursor_execute", note)


async def _look_after(found: keyring.Authenticator, key_id: str, seconds: float) -> set[str]:
    dead = set[str]()
    for _ in range(int(seconds / 0.1)):
        await asyncio.sleep(0.1)
        dead |= await found.find_inactive_keys([key_id])
    return dead


async def test_a_key_is_read_again_after_a_while(
    hub: RunningApp, trader: AccountClient, found: keyring.Authenticator
) -> None:
    await found.authenticate_key(trader.api_key)
    with statements(hub) as asked:
        await found.authenticate_key(trader.api_key)
        assert not asked
        await asyncio.sleep(_BELIEVED_S + 0.1)
        await found.authenticate_key(trader.api_key)
        assert len(asked) == 1


async def test_a_key_that_is_looked_after_stays_known(
    hub: RunningApp, trader: AccountClient, found: keyring.Authenticator
) -> None:
    principal = await found.authenticate_key(trader.api_key)
    assert not await _look_after(found, principal.credential_id, 3 * _BELIEVED_S)
    with statements(hub) as asked:
        assert await found.authenticate_key(trader.api_key) == principal
        assert not asked


async def test_a_revoked_key_that_is_looked_after_is_soon_refused(
    hub: RunningApp, trader: AccountClient, found: keyring.Authenticator
) -> None:
    made = await trader.post("/api/v1/keys", {})
    await found.authenticate_key(made["api_key"])
    await hub.services.keys.revoke(trader.id, made["id"])
    assert await _look_after(found, made["id"], 2 * _BELIEVED_S) == {made["id"]}
    with pytest.raises(SignalHubError, match="revoked_key"):
        await found.authenticate_key(made["api_key"])
