"""The door on a real database: one transaction for a batch, one fate for each."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from signalhub.app import build_services
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import chain_hash
from signalhub.services.submission import Submission
from signalhub.settings import Secret
from tests.kit import texts
from tests.kit.hub import RunningApp
from tests.kit.submissions import make_submission
from tests.kit.trader import AccountClient


async def _accept(hub: RunningApp, batch: Sequence[Submission]) -> list[bytes | BaseException]:
    return await asyncio.gather(*(hub.services.ingest.accept(one) for one in batch), return_exceptions=True)


async def test_a_row_that_the_database_refuses_fails_alone(hub: RunningApp, trader: AccountClient) -> None:
    batch = [make_submission(trader.id, texts.make_buy_text(number)) for number in range(20)]
    batch[7] = replace(batch[7], idempotency_key="no\0text")
    batch[13] = replace(batch[13], trace_id="no\0text")
    answers = await _accept(hub, batch)
    failed = [place for place, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert failed == [7, 13]
    assert all(isinstance(answers[place], SignalHubError) for place in failed)
    events = await trader.list_events(after=1)
    assert [event["seq"] for event in events] == list(range(2, 38))
    assert len({event["order_id"] for event in events}) == 18


LONG = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(3000))


@pytest.mark.parametrize("name", ["id", "sim"])
@pytest.mark.parametrize("word", ["a\\u0000b", LONG, "\\n", "\\u2028"])
async def test_a_word_that_cannot_be_stored_is_the_sender_s_fault(trader: AccountClient, name: str, word: str) -> None:
    """A 503 would make the sender come again, with the same text, for ever."""
    text = f'{{"signal": "BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890", "{name}": "{word}"}}'
    response = await trader.request("POST", "/api/v1/signals", content=text)
    assert response.status_code in {400, 422}, response.text
    assert (await trader.list_events())[-1]["type"] == "signal.rejected"


async def test_accounts_in_one_batch_keep_their_own_numbers(
    hub: RunningApp, trader: AccountClient, stranger: AccountClient
) -> None:
    batch = [make_submission(who.id, texts.make_buy_text(number)) for number in range(15) for who in (trader, stranger)]
    await _accept(hub, batch)
    for who in (trader, stranger):
        assert [event["seq"] for event in await who.list_events()] == list(range(1, 32))


async def test_refusals_and_orders_of_one_batch_do_not_mix(hub: RunningApp, trader: AccountClient) -> None:
    batch = [
        make_submission(trader.id, texts.MISSING_STOP if number % 2 else texts.make_buy_text(number))
        for number in range(10)
    ]
    answers = await _accept(hub, batch)
    assert [isinstance(answer, SignalHubError) for answer in answers] == [False, True] * 5
    assert len((await trader.get("/api/v1/orders"))["items"]) == 5
    types = [event["type"] for event in await trader.list_events(after=1)]
    assert types == ["signal.accepted", "order.pending", "signal.rejected"] * 5


async def test_two_processes_with_the_same_key_make_one_order(hub: RunningApp, trader: AccountClient) -> None:
    """The running web process and this one: neither sees what the other has in flight."""
    ours = [hub.services.ingest.accept(make_submission(trader.id, texts.BUY, idempotency_key="k")) for _ in range(4)]
    theirs = [
        trader.request("POST", "/api/v1/signals", content=texts.BUY, headers={"Idempotency-Key": "k"}) for _ in range(4)
    ]
    answers = await asyncio.gather(*ours, *theirs, return_exceptions=True)
    refused = [answer for answer in answers[:4] if isinstance(answer, SignalHubError)]
    assert {error.code for error in refused} <= {"idempotency_in_flight"}
    assert len((await trader.get("/api/v1/orders"))["items"]) == 1


async def test_the_log_is_chained_from_its_first_event(hub: RunningApp, trader: AccountClient) -> None:
    for number in range(3):
        await trader.send_signal(texts.make_buy_text(number))
    rows = await hub.execute_sql(
        "SELECT body, hash FROM events WHERE account_id = CAST(:id AS uuid) ORDER BY seq", id=trader.id
    )
    previous = b""
    for body, digest in rows:
        previous = chain_hash(previous, str(body).encode())
        assert digest == previous
    head = await hub.execute_sql("SELECT last_seq, last_hash FROM accounts WHERE id = CAST(:id AS uuid)", id=trader.id)
    assert head == [(len(rows), previous)]


async def test_a_submission_of_nobody_is_refused_and_harms_no_other(hub: RunningApp, trader: AccountClient) -> None:
    nobody = "00000000-0000-7000-8000-000000000000"
    batch = [make_submission(trader.id), make_submission(nobody), make_submission(trader.id, texts.SELL)]
    answers = await _accept(hub, batch)
    assert [isinstance(answer, BaseException) for answer in answers] == [False, True, False]


async def test_a_database_that_is_away_is_told_in_time_and_keeps_nothing(hub: RunningApp) -> None:
    gone = replace(hub.settings, database_url=Secret("postgresql+asyncpg://nobody@/nothing?host=/nowhere"))
    house = build_services(gone)
    async with asyncio.timeout(2):
        with pytest.raises(SignalHubError) as caught:
            await house.ingest.accept(make_submission("00000000-0000-7000-8000-000000000000"))
    assert (caught.value.code, caught.value.retry_after_s) == ("unavailable", 1)
    await house.publisher.close()
    await house.engine.dispose()


async def test_the_stored_answer_is_the_answer_byte_for_byte(hub: RunningApp, trader: AccountClient) -> None:
    submission = make_submission(trader.id, idempotency_key="k")
    first = await hub.services.ingest.accept(submission)
    again = await hub.services.ingest.accept(submission)
    assert again == first.replace(b'"duplicate":false', b'"duplicate":true')
    assert msgspec.json.decode(again)["duplicate"] is True
