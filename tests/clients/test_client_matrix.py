"""A short run of the matrix with the clients that are installed for the tests; `just clients` is the long form."""

import asyncio
from itertools import count
from pathlib import Path

import msgspec

from tests.clients.catalog import CLIENTS, SCRIPTS, find_missing_program
from tests.clients.deliveries import Delivery
from tests.clients.matrix import ConnectionFaults, finish, run_clients
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp


async def _send_signals(account: AccountClient) -> None:
    for number in count():
        await account.send_signal(signal_texts.make_buy_text(number))
        await asyncio.sleep(0.1)


async def test_clients_receive_every_event_once_through_cuts_and_resets(
    running_service: RunningApp, tmp_path: Path
) -> None:
    account = await running_service.create_account()
    clients = [
        client
        for client in CLIENTS
        if client.name in {"httpx-sse", "websockets", "curl"} and not find_missing_program(client.runtime)
    ]
    async with run_clients(clients, account, tmp_path) as running:
        sending = asyncio.create_task(_send_signals(account))
        faults = ConnectionFaults(cut_count=2, reset_count=1, max_pause_s=0.2)
        await asyncio.gather(*(client.inject_faults(faults) for client in running))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        reports = await finish(running, account, idle_s=0.5)
    assert [report for report in reports if not report.is_exact] == []


def test_delivery_counts_what_is_wrong() -> None:
    delivery = Delivery()
    for data in ('{"seq":1,"type":"a"}', "", '{"type":"stream.ready"}', '{"seq":3,"type":"a"}', '{"seq":2,"ty',
                 '{"seq":1,"type":"a"}', '{"seq":9,"type":"a"}'):  # fmt: skip
        delivery.record(data)
    report = delivery.compare_with_log([{"seq": seq, "type": "a"} for seq in (1, 2, 3)])
    counts = msgspec.structs.asdict(report)
    assert counts == {
        "event_count": 4, "missing_count": 1, "repeated_count": 1, "disordered_count": 1, "blank_count": 1,
        "garbled_count": 2,
    }  # fmt: skip


def test_package_lock_has_hashes_and_no_addresses() -> None:
    packages = msgspec.json.decode((SCRIPTS / "package-lock.json").read_bytes())["packages"]
    installed = [package for path, package in packages.items() if path]
    assert all(package["integrity"] and "resolved" not in package for package in installed)
