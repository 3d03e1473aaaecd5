"""Run the third-party clients against a real service: `python tests/clients/run.py [NAME …] [--cuts N] [--resets N]`.

Their connections are reset and cut within frames, the web process is killed, everything is restarted. Each client must
hand on every event of the account exactly once and in order, and no message without data. Exit status 1 if one did not.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, from anywhere

import httpx
import msgspec
import structlog

from tests.clients.catalog import CLIENTS, PACKAGES, SCRIPTS, ThirdPartyClient, find_missing_program
from tests.clients.matrix import ClientReport, ConnectionFaults, RunningClient, finish, run_clients
from tests.faults.clients import RetryingSender
from tests.kit.account_client import AccountClient
from tests.kit.observations import ObservationLog
from tests.kit.polling import wait_until
from tests.kit.setting_changes import make_settings
from tests.kit.stack import Stack

_SETTINGS: Final = make_settings(demo_fill_s=0.3, demo_close_s=0.6, heartbeat_s=1.0)
_SIGNALS_PER_SECOND: Final = 2.0
_PAUSE_AFTER_RESTART_S: Final = 3.0
_HEADINGS: Final = (
    *("client", "version", "transport", "connections", "cuts"),
    *("events", "missing", "twice", "disordered", "blank", "garbled"),
)


def main() -> int:
    arguments = _parse_arguments()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # only the table is printed
    clients = _select_clients(arguments.names)
    if any(client.runtime == "node" for client in clients):
        _install_node_packages()
    with tempfile.TemporaryDirectory(prefix="signalhub-clients-") as scratch:
        directory = arguments.keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        stack = Stack(directory, _SETTINGS)
        try:
            reports = asyncio.run(_run_matrix(stack.start(), clients, arguments))
        finally:
            stack.stop()
    _print_table(reports)
    return 0 if all(report.is_exact for report in reports) else 1


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run third-party clients through faults and compare with the log.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="clients to run; without it, all that are in the table"
    )
    parser.add_argument("--cuts", type=int, default=12, help="cuts within a frame for each client (default: 12)")
    parser.add_argument("--resets", type=int, default=6, help="resets between frames for each client (default: 6)")
    parser.add_argument("--kills", type=int, default=2, help="kills of the web process (default: 2)")
    parser.add_argument("--keep", type=Path, help="a directory for data and logs, kept afterwards")
    return parser.parse_args()


def _select_clients(names: Sequence[str]) -> list[ThirdPartyClient]:
    """Return the named clients, or all, without those that cannot run here."""
    unknown = set(names) - {client.name for client in CLIENTS}
    if unknown:
        sys.exit(f"No such client: {', '.join(sorted(unknown))}. There are: {', '.join(c.name for c in CLIENTS)}.")
    selected = [client for client in CLIENTS if not names or client.name in names]
    for runtime in dict.fromkeys(client.runtime for client in selected):
        if program := find_missing_program(runtime):
            left_out = ", ".join(client.name for client in selected if client.runtime == runtime)
            sys.stderr.write(f"There is no {program} on this machine, so these clients are left out: {left_out}.\n")
            selected = [client for client in selected if client.runtime != runtime]
    return selected


def _install_node_packages() -> None:
    """Install the packages of package-lock.json, by hash, unless they are there; copy the scripts beside them."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    lock, installed_lock = SCRIPTS / "package-lock.json", PACKAGES / "package-lock.json"
    is_installed = installed_lock.exists() and installed_lock.read_bytes() == lock.read_bytes()
    if not is_installed or not (PACKAGES / "node_modules").exists():
        for name in ("package.json", ".npmrc", "package-lock.json"):
            shutil.copy(SCRIPTS / name, PACKAGES / name)
        subprocess.run(["npm", "ci", "--silent"], cwd=PACKAGES, check=True)  # noqa: S607 - found on the PATH
    shutil.copytree(SCRIPTS / "node", PACKAGES, dirs_exist_ok=True)


async def _run_matrix(
    stack: Stack, clients: Sequence[ThirdPartyClient], arguments: argparse.Namespace
) -> list[ClientReport]:
    await stack.wait_until_ready()
    faults = ConnectionFaults(cut_count=arguments.cuts, reset_count=arguments.resets)
    observations = ObservationLog(stack.directory / "observations.jsonl")
    async with httpx.AsyncClient(base_url=stack.base_url, timeout=20) as http:
        account = await AccountClient.register(http)
        sender = RetryingSender(http, observations)
        async with run_clients(clients, account, stack.directory) as running:
            sending = asyncio.create_task(
                sender.send_all([account], range(10_000), signals_per_second=_SIGNALS_PER_SECOND)
            )
            try:
                await _inject_faults(stack, running, faults, arguments.kills)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            await wait_until(lambda: _have_orders_ended(account), timeout_s=60)
            reports = await finish(running, account, idle_s=3 * _SETTINGS.streams.heartbeat_s)
    observations.close()
    return reports


async def _inject_faults(
    stack: Stack, running: Sequence[RunningClient], faults: ConnectionFaults, kill_count: int
) -> None:
    await asyncio.gather(*(client.inject_faults(faults) for client in running))
    for _ in range(kill_count):
        stack.web.kill_main()
        stack.web.kill_process_group()
        await stack.wait_until_ready()
        await asyncio.sleep(_PAUSE_AFTER_RESTART_S)
    await stack.restart()
    await stack.wait_until_ready()
    await asyncio.sleep(_PAUSE_AFTER_RESTART_S)


async def _have_orders_ended(account: AccountClient) -> bool:
    statuses = [
        (await account.get("/api/v1/orders", status=status, limit=1))["items"] for status in ("pending", "executed")
    ]
    return not any(statuses)


def _print_table(reports: Sequence[ClientReport]) -> None:
    rows = [_HEADINGS, *(_to_row(report) for report in reports)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    for report in reports:
        if report.failure:
            sys.stdout.write(f"FAILED  {report.client.name} {report.failure}\n")
    exact_count = sum(report.is_exact for report in reports)
    sys.stdout.write(f"{exact_count} of {len(reports)} clients received every event once, in order\n")


def _to_row(report: ClientReport) -> tuple[str, ...]:
    client = report.client
    counts = (report.connection_count, report.cut_count, *msgspec.structs.astuple(report.delivery))
    return (client.name, client.read_version(), client.transport, *map(str, counts))


if __name__ == "__main__":
    sys.exit(main())
