"""A key that is looked after need not be read again when it is used, and a revoked one is not believed for long."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from signalhub.domain.errors import SignalHubError
from signalhub.services import keyring
from tests.kit.hub import Hub
from tests.kit.trader import Trader

_BELIEVED_S = 0.4


@pytest.fixture
def found(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> keyring.Keyring:
    """A keyring that knows nothing yet, and believes what it reads for less than two seconds."""
    monkeypatch.setattr(keyring, "BELIEVED_S", _BELIEVED_S)
    return keyring.Keyring(hub.house.engine)


@contextmanager
def statements(hub: Hub) -> Iterator[list[str]]:
    """What the database is asked meanwhile."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(hub.house.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(hub.house.engine.sync_engine, "before_cursor_execute", note)


async def _look_after(found: keyring.Keyring, key_id: str, seconds: float) -> set[str]:
    dead = set[str]()
    for _ in range(int(seconds / 0.1)):
        await asyncio.sleep(0.1)
        dead |= await found.dead([key_id])
    return dead


async def test_a_key_is_read_again_after_a_while(hub: Hub, trader: Trader, found: keyring.Keyring) -> None:
    await found.key(trader.key)
    with statements(hub) as asked:
        await found.key(trader.key)
        assert not asked
        await asyncio.sleep(_BELIEVED_S + 0.1)
        await found.key(trader.key)
        assert len(asked) == 1


async def test_a_key_that_is_looked_after_stays_known(hub: Hub, trader: Trader, found: keyring.Keyring) -> None:
    principal = await found.key(trader.key)
    assert not await _look_after(found, principal.credential_id, 3 * _BELIEVED_S)
    with statements(hub) as asked:
        assert await found.key(trader.key) == principal
        assert not asked


async def test_a_revoked_key_that_is_looked_after_is_soon_refused(
    hub: Hub, trader: Trader, found: keyring.Keyring
) -> None:
    made = await trader.post("/api/v1/keys", {})
    await found.key(made["api_key"])
    await hub.house.keys.revoke(trader.id, made["id"])
    assert await _look_after(found, made["id"], 2 * _BELIEVED_S) == {made["id"]}
    with pytest.raises(SignalHubError, match="revoked_key"):
        await found.key(made["api_key"])
