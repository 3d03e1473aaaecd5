"""A credential that ends, ends its streams: within five seconds, in whichever process it was ended."""

import asyncio

import pytest

from tests.kit.hub import RunningApp
from tests.kit.trader import AccountClient, receive_json, wait_for_close_code
from tests.kit.waiting import wait_until


@pytest.mark.parametrize("how", ["revoked", "expired", "revoked in another process", "gone with all that it had"])
async def test_open_streams_end_with_their_key(hub: RunningApp, trader: AccountClient, how: str) -> None:
    made = await trader.post("/api/v1/keys", {"label": "doomed"})
    doomed = trader.with_key(made["api_key"])
    async with doomed.open_sse() as stream, doomed.open_websocket() as socket, trader.open_sse() as survivor:
        await stream.expect_ready()
        await receive_json(socket)
        await survivor.expect_ready()
        if how == "revoked":
            await trader.request("DELETE", f"/api/v1/keys/{made['id']}")
        elif how == "expired":
            await hub.execute_sql("UPDATE api_keys SET expires_at = now() WHERE id = :id", id=made["id"])
        elif how == "gone with all that it had":
            await hub.execute_sql("DELETE FROM tickets WHERE key_id = :id", id=made["id"])
            await hub.execute_sql("DELETE FROM api_keys WHERE id = :id", id=made["id"])
        else:
            await hub.services.keys.revoke(trader.id, made["id"])
        async with asyncio.timeout(5):
            await stream.wait_until_closed(5)
            assert await wait_for_close_code(socket, 5) == 4401
        sent = await trader.send_signal()
        found = await survivor.next_event()
        while found.json["seq"] < sent["seq"]:
            found = await survivor.next_event()


async def test_the_streams_of_a_deleted_account_end(hub: RunningApp) -> None:
    trader = await hub.create_account()
    async with trader.open_sse() as stream, trader.open_websocket() as socket:
        await stream.expect_ready()
        await receive_json(socket)
        await hub.delete_account(trader)
        async with asyncio.timeout(5):
            await stream.wait_until_closed(5)
            assert await wait_for_close_code(socket, 5) == 4401

    async def is_refused() -> bool:
        return (await trader.request("GET", "/api/v1/stream")).status_code == 401

    assert await wait_until(is_refused, timeout_s=5)


async def test_many_keys_are_one_question(hub: RunningApp, trader: AccountClient) -> None:
    """More than a statement may have parameters."""
    mine = trader.api_key.split("_")[1]
    others = {f"nobody{number}" for number in range(40_000)}
    assert await hub.services.authenticator.find_inactive_keys({mine, *others}) == others


async def test_what_comes_after_the_revocation_is_not_delivered(hub: RunningApp, trader: AccountClient) -> None:
    """At most for as long as the watch takes to notice: then the stream is over for good."""
    made = await trader.post("/api/v1/keys", {})
    async with trader.with_key(made["api_key"]).open_sse() as stream:
        await stream.expect_ready()
        await hub.services.keys.revoke(trader.id, made["id"])
        await stream.wait_until_closed(5)
        seen = len(stream.frames)
        await trader.send_signal()
        assert await stream.next_frame() is None
        assert len(stream.frames) == seen
