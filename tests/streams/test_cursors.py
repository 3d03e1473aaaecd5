"""Any text as a cursor: the stream follows the account's log from there, or sends a reset."""

import asyncio
import random
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest

from signalhub.domain.events import Event
from signalhub.streams import control_events, event_filter
from signalhub.streams.account_channel import Frame
from signalhub.streams.stream_relay import Relay
from signalhub.streams.subscription import Subscription, parse_cursor_seq, resolve_cursor, subscribe
from tests.kit.account_client import AccountClient, receive_json
from tests.kit.running_app import RunningApp

ODD_CHARACTERS = "\0\n\r\t -.:/\\'\"%&+é٣\U0001f600abcXYZ0123456789"
HEAD, PRUNED = 40, 12


def random_cursors(epoch: str, count: int) -> list[str]:
    """Make cursors: malformed, over-long, of this and other epochs, from the past and from the future."""
    rng = random.Random(11)  # noqa: S311 - not for security
    factories = [
        lambda: "".join(rng.choices(ODD_CHARACTERS, k=rng.randint(1, 40))),
        lambda: "9" * rng.randint(19, 300),
        lambda: f"{epoch}-{rng.randint(0, HEAD)}",
        lambda: str(rng.randint(0, HEAD)),
        lambda: f"{epoch}-{rng.randint(HEAD + 1, 10**17)}",
        lambda: f"{rng.getrandbits(32):08x}-{rng.randint(0, HEAD)}",
        lambda: f"{epoch}-{rng.randint(0, HEAD)}{rng.choice(ODD_CHARACTERS[:10])}",
        lambda: f"{epoch.upper()}-{rng.randint(0, PRUNED)}",
    ]
    return [rng.choice(factories)() for _ in range(count)]


@pytest.fixture
async def relay(app: RunningApp) -> AsyncIterator[Relay]:
    """Run a relay in this process, so that ten thousand cursors need no connections."""
    running = Relay(app.services.engine, app.settings.redis_url)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def pruned_log(app: RunningApp, account: AccountClient, other_account: AccountClient) -> list[Event]:
    """Return the events left in a log that lost its first ones. The log of `other_account` is longer."""
    events = await app.append_events(account, HEAD - 1)
    await app.append_events(other_account, 2 * HEAD)
    await app.execute_sql("DELETE FROM events WHERE account_id = :id AND seq <= :upto", id=account.id, upto=PRUNED)
    return events[PRUNED - 1 :]


async def test_random_cursors_resume_or_reset(relay: Relay, account: AccountClient, pruned_log: list[Event]) -> None:
    bodies = {event.seq: event.body for event in pruned_log}
    async with relay.open_channel(account.id):
        cursors = random_cursors(relay.epoch, 10_000)
        for start in range(0, len(cursors), 200):
            await asyncio.gather(
                *(_check_cursor(relay, account.id, text, bodies) for text in cursors[start : start + 200])
            )


async def _check_cursor(relay: Relay, account_id: str, text: str, bodies: dict[int, bytes]) -> None:
    async with subscribe(relay, account_id, text, event_filter=event_filter.MATCH_ALL, lifetime_s=9) as subscription:
        await _assert_follows_log(text, subscription, bodies)


async def _assert_follows_log(text: str, subscription: Subscription, bodies: dict[int, bytes]) -> None:
    opening = control_events.build_opening(subscription, heartbeat_s=15.0)
    cursor_seq = parse_cursor_seq(text)
    is_valid = text.rpartition("-")[0] in {"", subscription.epoch} and cursor_seq is not None and cursor_seq <= HEAD
    assert is_valid == (len(opening) == 1), text
    if not is_valid:
        assert subscription.seq == HEAD
        return
    seq = subscription.seq
    assert seq == cursor_seq
    while seq < HEAD:
        for item in await subscription.read(5):
            if isinstance(item, Frame):
                assert (item.seq, item.body) == (seq + 1, bodies[item.seq])
                seq = item.seq
            else:
                assert (item.first_seq, item.last_seq) == (seq + 1, PRUNED)
                seq = PRUNED


async def test_cursors_resolve_alike_on_every_transport(account: AccountClient, pruned_log: list[Event]) -> None:
    epoch = (await account.get("/api/v1/events"))["epoch"]
    for text in random_cursors(epoch, 40):
        start = resolve_cursor(text, epoch=epoch, head=HEAD)
        seqs = [event.seq for event in pruned_log if event.seq > start.seq]
        page = await account.request("GET", f"/api/v1/events?limit=500&after={quote(text)}")
        if text.startswith("-") or start.reset_reason is not None:
            assert page.status_code in {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY}, text
            assert page.json()["code"] in {"bad_cursor", "invalid_request"}
        else:
            assert [event["seq"] for event in page.json()["items"]] == seqs
            assert ("gap" in page.json()) == (start.seq < PRUNED)
        expected = [
            "stream.ready",
            *(["stream.reset"] if start.reset_reason else ["stream.gap"] * (start.seq < PRUNED)),
        ]
        async with account.open_sse(after=text) as stream:
            assert [frame.event for frame in await stream.next_events(len(expected))] == expected
            assert [frame.json["seq"] for frame in await stream.next_events(len(seqs))] == seqs
        async with account.open_websocket(after=text) as socket:
            assert [(await receive_json(socket))["type"] for _ in expected] == expected
            assert [(await receive_json(socket))["seq"] for _ in seqs] == seqs
