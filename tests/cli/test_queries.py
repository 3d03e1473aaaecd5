"""Commands that show what a running service knows: `signals`, `receipt`, `quotes`, `analytics`, `open`, `orders`."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.cli.conftest import CommandResult, RunCommand
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp
from tests.kit.signal_texts import BUY, SELL, STOP_ON_WRONG_SIDE

GOLD = "SELL GOLD @ 2400.5 SL 2410 TP 2300"


RunOnAccount = Callable[..., Awaitable[CommandResult]]


@pytest.fixture
def run_on_account(run_on_service: RunCommand, account: AccountClient) -> RunOnAccount:
    """Run a command with the key of the account."""

    async def run(*arguments: str, **settings: str) -> CommandResult:
        return await asyncio.to_thread(run_on_service, *arguments, **({"api_key": account.api_key} | settings))

    return run


def parse_lines(done: CommandResult) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def close_order(app: RunningApp, order_id: str) -> None:
    for _ in range(2):
        await app.advance_order(order_id)


async def test_signals_lists_texts_with_the_reasons_of_refusals(
    run_on_account: RunOnAccount, account: AccountClient
) -> None:
    sent = await account.send_signal()
    assert (await account.request("POST", "/api/v1/signals", content=STOP_ON_WRONG_SIDE)).status_code == 422
    rejected, accepted = (line.split() for line in (await run_on_account("signals")).stdout.splitlines())
    assert accepted[2:] == [sent["signal_id"], "accepted", "-", *BUY.split()]
    assert rejected[3:5] == ["rejected", "sl_wrong_side"]
    assert [item["accepted"] for item in parse_lines(await run_on_account("signals", "--json"))] == [False, True]
    only = parse_lines(await run_on_account("signals", "--status", "rejected", "--limit", "1", "--json"))
    assert [item["raw"] for item in only] == [STOP_ON_WRONG_SIDE]


async def test_missing_data_is_a_note_and_no_output(run_on_account: RunOnAccount) -> None:
    for command, note in (("signals", "There are no signals."), ("orders", "There are no orders.")):
        done = await run_on_account(command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{note}\n")


async def test_receipt_shows_text_events_stages_and_order(
    run_on_account: RunOnAccount, app: RunningApp, account: AccountClient
) -> None:
    sent = await account.send_signal(SELL)
    await close_order(app, sent["order_id"])
    done = await run_on_account("receipt", sent["signal_id"])
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Signal {sent['signal_id']}, received 20")
    assert lines[1:4] == [f"  {line}" for line in SELL.splitlines()]
    events = [line.split()[-1] for line in lines[4:8]]
    assert events == ["signal.accepted", "order.pending", "order.executed", "order.closed"]
    assert re.search(r"^  executed +20\S+Z +\d+\.\d ms$", done.stdout, re.MULTILINE)
    assert lines[-1] == f"Order {sent['order_id']} is closed"
    document = json.loads((await run_on_account("receipt", "--json", sent["signal_id"])).stdout)
    assert document["order"]["id"] == sent["order_id"]


async def test_receipt_of_a_refused_signal_has_its_problems(
    run_on_account: RunOnAccount, account: AccountClient
) -> None:
    await account.request("POST", "/api/v1/signals", content=STOP_ON_WRONG_SIDE)
    (signal,) = parse_lines(await run_on_account("signals", "--json"))
    done = await run_on_account("receipt", str(signal["id"]))
    assert "  sl_wrong_side: A BUY needs its stop loss below 1.0860." in done.stdout
    assert re.search(r"^  executed +-$", done.stdout, re.MULTILINE)
    assert "Order" not in done.stdout


async def test_quote_is_that_of_the_given_time(run_on_account: RunOnAccount) -> None:
    time = "2026-01-01T12:00:00Z"
    document = json.loads((await run_on_account("quotes", "gold", "--at", time, "--count", "3", "--json")).stdout)
    assert (document["symbol"], len(document["candles"])) == ("XAUUSD", 3)
    lines = (await run_on_account("quotes", "GOLD", "--at", time, "--count", "3")).stdout.splitlines()
    assert lines[0] == f"XAUUSD  bid {document['bid']}  ask {document['ask']}"
    assert lines[1].startswith(f"mid {document['mid']} at 2026-01-01T12:00:00")
    assert [line.split()[-1] for line in lines[2:]] == [candle["close"] for candle in document["candles"]]
    assert (await run_on_account("quotes", "XAU/USD", "--at", time)).stdout.splitlines() == lines[:2]


async def test_analytics_prints_counts_and_results(
    run_on_account: RunOnAccount, app: RunningApp, account: AccountClient
) -> None:
    sent = await account.send_signal(f"{BUY}\n#sim outcome=stop_loss")
    await close_order(app, sent["order_id"])
    await account.send_signal(SELL)
    await account.request("POST", "/api/v1/signals", content=STOP_ON_WRONG_SIDE)
    lines = (await run_on_account("analytics")).stdout.splitlines()
    assert lines[:2] == ["3 signals, 1 of them rejected", "2 orders: 1 pending, 1 closed"]
    (row,) = json.loads((await run_on_account("analytics", "--json")).stdout)["performance"]["symbol"]
    assert lines[2].split() == [
        "EURUSD", "1", "0", row["win_rate"], row["expectancy"], row["profit_factor"], row["drawdown"]
    ]  # fmt: skip
    by_credential = (await run_on_account("analytics", "--by", "credential")).stdout.splitlines()
    assert by_credential[2].split()[0] == account.api_key.split("_")[1]


async def test_open_prints_a_link_that_signs_in_once(
    run_on_account: RunOnAccount, app: RunningApp, http: httpx.AsyncClient
) -> None:
    link = (await run_on_account("open", "--print")).stdout.strip()
    assert link.startswith(f"{app.settings.web.base_url}/login?token=shs_")
    assert (await http.get(link)).is_success
    form, origin = {"token": link.partition("token=")[2]}, {"Origin": app.settings.web.base_url}
    signed_in, again = [await http.post("/login", data=form, headers=origin) for _ in range(2)]
    assert (signed_in.status_code, signed_in.headers["location"], again.status_code) == (303, "/", 401)
    assert json.loads((await run_on_account("open", "--json", database_url="", url="http://127.0.0.1:9")).stdout) == {
        "url": "http://127.0.0.1:9/"
    }


async def test_accounts_are_listed(run_on_account: RunOnAccount, account: AccountClient) -> None:
    rows = [line.split() for line in (await run_on_account("account", "list")).stdout.splitlines()]
    (row,) = [row for row in rows if row[1] == account.id]
    assert row[-1] == "1"
    (listed,) = [
        item
        for item in json.loads((await run_on_account("account", "list", "--json")).stdout)
        if item["id"] == account.id
    ]
    assert (listed["username"], listed["last_seq"]) == (row[0], 1)


async def test_executed_order_is_closed(run_on_account: RunOnAccount, app: RunningApp, account: AccountClient) -> None:
    sent = await account.send_signal()
    refused = await run_on_account("orders", "close", sent["order_id"])
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: The order is pending; only an executed order can be closed. [illegal_transition]\n"
    )
    await app.advance_order(sent["order_id"])
    done = await run_on_account("orders", "close", sent["order_id"][-8:])
    assert done.stdout.splitlines()[0] == "BUY EURUSD is closed"
    assert re.search(r"^  close_reason +manual$", done.stdout, re.MULTILINE)
    again = await run_on_account("orders", "cancel", "--json", sent["order_id"])
    assert (again.returncode, "only a pending order can be cancelled" in again.stderr) == (1, True), again.stderr


async def test_alias_finds_the_orders_of_its_symbol(run_on_account: RunOnAccount, account: AccountClient) -> None:
    sent = await account.send_signal(GOLD)
    await account.send_signal()
    for alias in ("GOLD", "gold", "XAUUSD", "xau/usd"):
        (order,) = parse_lines(await run_on_account("orders", "--symbol", alias, "--json"))
        assert (order["id"], order["symbol"]) == (sent["order_id"], "XAUUSD")
    assert [order["symbol"] for order in parse_lines(await run_on_account("orders", "--limit", "1", "--json"))] == [
        "EURUSD"
    ]
    assert parse_lines(await run_on_account("orders", "--status", "closed", "--json")) == []


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("tail", "--after", "xyz"), 2, "'xyz' is no place in the log: write a number, or <epoch>-<number>."),
        (("tail", "--types", "nonsense"), 1, "nonsense"),
        (("receipt", "nonsense"), 1, "[not_found]"),
        (("receipt", "01a22b86-88ff-7c27-84a4-bb72fca97169"), 1, "There is no such signal. [not_found]"),
        (("quotes", "EURUSD", "--at", "yesterday"), 1, "write a time such as 2026-01-01T12:00:00Z"),
        (("quotes", "EURUSD", "--interval", "2m"), 2, "is not one of '1s'"),
        (("signals", "--limit", "501"), 2, "not in the range"),
        (("analytics", "--by", "moon"), 2, "is not one of"),
        (("orders", "show", "zz"), 1, "None of the newest 500 orders end in 'zz'"),
        (("orders", "--status", "closed", "show", "zz"), 2, "Write the options of `show` after it"),
        (("orders", "--url", "http://127.0.0.1:9", "close", "zz"), 2, "Write the options of `close` after it"),
    ],
)
async def test_input_that_is_wrong_is_refused_in_a_sentence(
    run_on_account: RunOnAccount, words: tuple[str, ...], status: int, says: str
) -> None:
    done = await run_on_account(*words)
    assert (done.returncode, says in done.stderr, "Traceback" in done.stderr) == (status, True, False), done.stderr


async def test_several_orders_with_one_short_id_are_not_guessed(
    run_on_account: RunOnAccount, account: AccountClient
) -> None:
    ids = [(await account.send_signal())["order_id"] for _ in range(17)]
    endings = [id_[-1] for id_ in ids]
    ending = next(text for text in endings if endings.count(text) > 1)
    done = await run_on_account("orders", "show", ending)
    assert (done.returncode, f"Several orders end in '{ending}'" in done.stderr) == (1, True), done.stderr
