"""A credential that ends, ends its streams: within five seconds, in whichever process it was ended."""

import asyncio

import pytest

from tests.kit.hub import Hub
from tests.kit.trader import Trader, closed, word
from tests.kit.waiting import until


@pytest.mark.parametrize("how", ["revoked", "expired", "revoked in another process", "gone with all that it had"])
async def test_open_streams_end_with_their_key(hub: Hub, trader: Trader, how: str) -> None:
    made = await trader.post("/api/v1/keys", {"label": "doomed"})
    doomed = trader.by(made["api_key"])
    async with doomed.sse() as stream, doomed.ws() as socket, trader.sse() as survivor:
        await stream.ready()
        await word(socket)
        await survivor.ready()
        if how == "revoked":
            await trader.ask("DELETE", f"/api/v1/keys/{made['id']}")
        elif how == "expired":
            await hub.execute("UPDATE api_keys SET expires_at = now() WHERE id = :id", id=made["id"])
        elif how == "gone with all that it had":
            await hub.execute("DELETE FROM tickets WHERE key_id = :id", id=made["id"])
            await hub.execute("DELETE FROM api_keys WHERE id = :id", id=made["id"])
        else:
            await hub.house.keys.revoke(trader.id, made["id"])
        async with asyncio.timeout(5):
            await stream.ended(5)
            assert await closed(socket, 5) == 4401
        sent = await trader.send()
        found = await survivor.event()
        while found.json["seq"] < sent["seq"]:
            found = await survivor.event()


async def test_the_streams_of_a_deleted_account_end(hub: Hub) -> None:
    trader = await hub.trader()
    async with trader.sse() as stream, trader.ws() as socket:
        await stream.ready()
        await word(socket)
        await hub.delete(trader)
        async with asyncio.timeout(5):
            await stream.ended(5)
            assert await closed(socket, 5) == 4401

    async def is_refused() -> bool:
        return (await trader.ask("GET", "/api/v1/stream")).status_code == 401

    assert await until(is_refused, timeout_s=5)


async def test_many_keys_are_one_question(hub: Hub, trader: Trader) -> None:
    """More than a statement may have parameters."""
    mine = trader.key.split("_")[1]
    others = {f"nobody{number}" for number in range(40_000)}
    assert await hub.house.keyring.dead({mine, *others}) == others


async def test_what_comes_after_the_revocation_is_not_delivered(hub: Hub, trader: Trader) -> None:
    """At most for as long as the watch takes to notice: then the stream is over for good."""
    made = await trader.post("/api/v1/keys", {})
    async with trader.by(made["api_key"]).sse() as stream:
        await stream.ready()
        await hub.house.keys.revoke(trader.id, made["id"])
        await stream.ended(5)
        seen = len(stream.frames)
        await trader.send()
        assert await stream.next() is None
        assert len(stream.frames) == seen
