"""An ended credential closes its streams within five seconds, in every process."""

import asyncio

import pytest

from tests.kit.account_client import AccountClient, receive_json, wait_for_close_code
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp


@pytest.mark.parametrize("how", ["revoked", "expired", "revoked in another process", "gone with all that it had"])
async def test_ended_key_closes_its_streams(app: RunningApp, account: AccountClient, how: str) -> None:
    made = await account.post("/api/v1/keys", {"label": "doomed"})
    doomed = account.with_key(made["api_key"])
    async with doomed.open_sse() as stream, doomed.open_websocket() as socket, account.open_sse() as survivor:
        await stream.expect_ready()
        await receive_json(socket)
        await survivor.expect_ready()
        if how == "revoked":
            await account.request("DELETE", f"/api/v1/keys/{made['id']}")
        elif how == "expired":
            await app.execute_sql("UPDATE api_keys SET expires_at = now() WHERE id = :id", id=made["id"])
        elif how == "gone with all that it had":
            await app.execute_sql("DELETE FROM tickets WHERE key_id = :id", id=made["id"])
            await app.execute_sql("DELETE FROM api_keys WHERE id = :id", id=made["id"])
        else:
            await app.services.keys.revoke(account.id, made["id"])
        async with asyncio.timeout(5):
            await stream.wait_until_closed(5)
            assert await wait_for_close_code(socket, 5) == 4401
        sent = await account.send_signal()
        event = await survivor.next_event()
        while event.json["seq"] < sent["seq"]:
            event = await survivor.next_event()


async def test_deleted_account_closes_its_streams(app: RunningApp) -> None:
    account = await app.create_account()
    async with account.open_sse() as stream, account.open_websocket() as socket:
        await stream.expect_ready()
        await receive_json(socket)
        await app.delete_account(account)
        async with asyncio.timeout(5):
            await stream.wait_until_closed(5)
            assert await wait_for_close_code(socket, 5) == 4401

    async def is_refused() -> bool:
        return (await account.request("GET", "/api/v1/stream")).status_code == 401

    assert await wait_until(is_refused)


async def test_dead_keys_are_found_in_one_query(app: RunningApp, account: AccountClient) -> None:
    """More keys than a statement may have parameters."""
    own_key_id = account.api_key.split("_")[1]
    others = {f"nobody{number}" for number in range(40_000)}
    assert await app.services.authenticator.find_inactive_keys({own_key_id, *others}) == others


async def test_revoked_key_receives_no_further_events(app: RunningApp, account: AccountClient) -> None:
    """Except within the check interval: then the stream is closed for good."""
    made = await account.post("/api/v1/keys", {})
    async with account.with_key(made["api_key"]).open_sse() as stream:
        await stream.expect_ready()
        await app.services.keys.revoke(account.id, made["id"])
        await stream.wait_until_closed(5)
        seen = len(stream.frames)
        await account.send_signal()
        assert await stream.next_frame() is None
        assert len(stream.frames) == seen
