"""Ingest on a real database: one transaction for a batch, an own outcome for each signal."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from signalhub.container import build_services
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import chain_hash
from signalhub.services.ingest import AcceptedSignal
from signalhub.services.signal_records import Submission
from signalhub.settings import Secret
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp
from tests.kit.submission_factory import make_submission


async def _accept(app: RunningApp, batch: Sequence[Submission]) -> list[AcceptedSignal | BaseException]:
    return await asyncio.gather(*(app.services.ingest.accept(one) for one in batch), return_exceptions=True)


async def test_row_refused_by_the_database_fails_alone(app: RunningApp, account: AccountClient) -> None:
    batch = [make_submission(account.id, signal_texts.make_buy_text(number)) for number in range(20)]
    batch[7] = replace(batch[7], idempotency_key="no\0text")
    batch[13] = replace(batch[13], trace_id="no\0text")
    answers = await _accept(app, batch)
    failed = [place for place, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert failed == [7, 13]
    assert all(isinstance(answers[place], SignalHubError) for place in failed)
    events = await account.list_events(after=1)
    assert [event["seq"] for event in events] == list(range(2, 38))
    assert len({event["order_id"] for event in events}) == 18


LONG = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(3000))


@pytest.mark.parametrize("name", ["id", "sim"])
@pytest.mark.parametrize("word", ["a\\u0000b", LONG, "\\n", "\\u2028"])
async def test_option_that_cannot_be_stored_is_a_client_error(account: AccountClient, name: str, word: str) -> None:
    """A 503 would make the sender resend the same text for ever."""
    text = f'{{"signal": "BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890", "{name}": "{word}"}}'
    response = await account.request("POST", "/api/v1/signals", content=text)
    assert response.status_code in {400, 422}, response.text
    assert (await account.list_events())[-1]["type"] == "signal.rejected"


async def test_accounts_in_one_batch_have_their_own_sequences(
    app: RunningApp, account: AccountClient, other_account: AccountClient
) -> None:
    batch = [
        make_submission(sender.id, signal_texts.make_buy_text(number))
        for number in range(15)
        for sender in (account, other_account)
    ]
    await _accept(app, batch)
    for sender in (account, other_account):
        assert [event["seq"] for event in await sender.list_events()] == list(range(1, 32))


async def test_refusals_and_orders_share_a_batch(app: RunningApp, account: AccountClient) -> None:
    batch = [
        make_submission(account.id, signal_texts.MISSING_STOP if number % 2 else signal_texts.make_buy_text(number))
        for number in range(10)
    ]
    answers = await _accept(app, batch)
    assert [isinstance(answer, SignalHubError) for answer in answers] == [False, True] * 5
    assert len((await account.get("/api/v1/orders"))["items"]) == 5
    types = [event["type"] for event in await account.list_events(after=1)]
    assert types == ["signal.accepted", "order.pending", "signal.rejected"] * 5


async def test_same_key_in_two_processes_makes_one_order(app: RunningApp, account: AccountClient) -> None:
    """The running web process and this one: neither sees the signals that the other has in flight."""
    own_calls = [
        app.services.ingest.accept(make_submission(account.id, signal_texts.BUY, idempotency_key="k")) for _ in range(4)
    ]
    requests = [
        account.request("POST", "/api/v1/signals", content=signal_texts.BUY, headers={"Idempotency-Key": "k"})
        for _ in range(4)
    ]
    answers = await asyncio.gather(*own_calls, *requests, return_exceptions=True)
    refused = [answer for answer in answers[:4] if isinstance(answer, SignalHubError)]
    assert {error.code for error in refused} <= {"idempotency_in_flight"}
    assert len((await account.get("/api/v1/orders"))["items"]) == 1


async def test_event_hashes_chain_from_the_first_event(app: RunningApp, account: AccountClient) -> None:
    for number in range(3):
        await account.send_signal(signal_texts.make_buy_text(number))
    rows = await app.execute_sql(
        "SELECT body, hash FROM events WHERE account_id = CAST(:id AS uuid) ORDER BY seq", id=account.id
    )
    previous = b""
    for body, digest in rows:
        previous = chain_hash(previous, str(body).encode())
        assert digest == previous
    head = await app.execute_sql("SELECT last_seq, last_hash FROM accounts WHERE id = CAST(:id AS uuid)", id=account.id)
    assert head == [(len(rows), previous)]


async def test_unknown_account_is_refused_alone(app: RunningApp, account: AccountClient) -> None:
    unknown_id = "00000000-0000-7000-8000-000000000000"
    batch = [make_submission(account.id), make_submission(unknown_id), make_submission(account.id, signal_texts.SELL)]
    answers = await _accept(app, batch)
    assert [isinstance(answer, BaseException) for answer in answers] == [False, True, False]


async def test_unreachable_database_is_reported_in_time(app: RunningApp) -> None:
    settings = replace(app.settings, database_url=Secret("postgresql+asyncpg://nobody@/nothing?host=/nowhere"))
    services = build_services(settings, "web")
    async with asyncio.timeout(2):
        with pytest.raises(SignalHubError) as caught:
            await services.ingest.accept(make_submission("00000000-0000-7000-8000-000000000000"))
    assert (caught.value.code, caught.value.retry_after_s) == ("unavailable", 1)
    await services.close()


async def test_stored_answer_is_repeated_byte_for_byte(app: RunningApp, account: AccountClient) -> None:
    submission = make_submission(account.id, idempotency_key="k")
    first = (await app.services.ingest.accept(submission)).body
    again = (await app.services.ingest.accept(submission)).body
    assert again == first.replace(b'"duplicate":false', b'"duplicate":true')
    assert msgspec.json.decode(again)["duplicate"] is True
