"""Any text may come as a cursor. Each is answered in words, and none opens another account's log."""

import asyncio
import random
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest

from signalhub.domain.events import Event
from signalhub.streams import cursor, filters, notices
from signalhub.streams.channel import Frame
from signalhub.streams.relay import Relay
from signalhub.streams.subscription import Subscription, subscribe
from tests.kit.hub import RunningApp
from tests.kit.trader import AccountClient, receive_json

_ODD = "\0\n\r\t -.:/\\'\"%&+é٣\U0001f600abcXYZ0123456789"
HEAD, PRUNED = 40, 12


def tries(epoch: str, count: int) -> list[str]:
    """Cursors malformed, over-long, of this and other epochs, from the past, from the future."""
    dice = random.Random(11)  # noqa: S311 - a test's dice
    made = [
        lambda: "".join(dice.choices(_ODD, k=dice.randint(1, 40))),
        lambda: "9" * dice.randint(19, 300),
        lambda: f"{epoch}-{dice.randint(0, HEAD)}",
        lambda: str(dice.randint(0, HEAD)),
        lambda: f"{epoch}-{dice.randint(HEAD + 1, 10**17)}",
        lambda: f"{dice.getrandbits(32):08x}-{dice.randint(0, HEAD)}",
        lambda: f"{epoch}-{dice.randint(0, HEAD)}{dice.choice(_ODD[:10])}",
        lambda: f"{epoch.upper()}-{dice.randint(0, PRUNED)}",
    ]
    return [dice.choice(made)() for _ in range(count)]


@pytest.fixture
async def relay(hub: RunningApp) -> AsyncIterator[Relay]:
    """One in this process, so that ten thousand cursors need no connections."""
    running = Relay(hub.services.engine, hub.settings.redis_url)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def log(hub: RunningApp, trader: AccountClient, stranger: AccountClient) -> list[Event]:
    """The trader's log without its beginning; the stranger's is longer."""
    events = await hub.append_events(trader, HEAD - 1)
    await hub.append_events(stranger, 2 * HEAD)
    await hub.execute_sql("DELETE FROM events WHERE account_id = :id AND seq <= :upto", id=trader.id, upto=PRUNED)
    return events[PRUNED - 1 :]


async def test_ten_thousand_cursors_get_the_log_or_a_word_about_it(
    relay: Relay, trader: AccountClient, log: list[Event]
) -> None:
    bodies = {event.seq: event.body for event in log}
    async with relay.open_channel(trader.id):
        made = tries(relay.epoch, 10_000)
        for begin in range(0, len(made), 200):
            await asyncio.gather(*(_try(relay, trader.id, text, bodies) for text in made[begin : begin + 200]))


async def _try(relay: Relay, account_id: str, text: str, bodies: dict[int, bytes]) -> None:
    async with subscribe(relay, account_id, text, event_filter=filters.match_all, lifetime_s=9) as subscription:
        await _judge(text, subscription, bodies)


async def _judge(text: str, subscription: Subscription, bodies: dict[int, bytes]) -> None:
    opening = notices.build_opening(subscription)
    asked = cursor.parse_cursor_seq(text)
    is_ours = text.rpartition("-")[0] in {"", subscription.epoch} and asked is not None and asked <= HEAD
    assert is_ours == (len(opening) == 1), text
    if not is_ours:
        assert subscription.seq == HEAD
        return
    seq = subscription.seq
    assert seq == asked
    while seq < HEAD:
        for one in await subscription.read(5):
            if isinstance(one, Frame):
                assert (one.seq, one.body) == (seq + 1, bodies[one.seq])
                seq = one.seq
            else:
                assert (one.first_seq, one.last_seq) == (seq + 1, PRUNED)
                seq = PRUNED


async def test_over_every_transport_the_same_cursors_get_the_same_answer(
    trader: AccountClient, log: list[Event]
) -> None:
    epoch = (await trader.get("/api/v1/events"))["epoch"]
    for text in tries(epoch, 40):
        start = cursor.resolve_cursor(text, epoch=epoch, head=HEAD)
        seqs = [event.seq for event in log if event.seq > start.seq]
        page = await trader.request("GET", f"/api/v1/events?limit=500&after={quote(text)}")
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
        async with trader.open_sse(after=text) as stream:
            assert [frame.event for frame in await stream.next_events(len(expected))] == expected
            assert [frame.json["seq"] for frame in await stream.next_events(len(seqs))] == seqs
        async with trader.open_websocket(after=text) as socket:
            assert [(await receive_json(socket))["type"] for _ in expected] == expected
            assert [(await receive_json(socket))["seq"] for _ in seqs] == seqs
