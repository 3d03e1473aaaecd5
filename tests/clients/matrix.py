"""Run third-party clients, each behind a proxy of its own that breaks its connections, and compare with the log."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from tests.clients.catalog import ThirdPartyClient
from tests.clients.deliveries import Delivery, DeliveryReport
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.tcp_proxy import TcpProxy

_EVENT_MARKER: Final = b'{"seq":'
_MAX_LINE_BYTES: Final = 2**20
_RECONNECT_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 3.0
_random = random.SystemRandom()


class ConnectionFaults(msgspec.Struct, frozen=True, kw_only=True):
    """`cut_count` connections end within a frame, half of them by a reset; `reset_count` are reset at any time."""

    cut_count: int
    reset_count: int
    max_pause_s: float = 1.0


class ClientReport(msgspec.Struct, frozen=True, kw_only=True):
    """`failure` says why a client that stopped, or did not come back, did so."""

    client: ThirdPartyClient
    connection_count: int
    cut_count: int
    delivery: DeliveryReport
    failure: str = ""

    @property
    def is_exact(self) -> bool:
        return self.delivery.is_exact and not self.failure


class RunningClient:
    """A client process and its proxy."""

    def __init__(self, client: ThirdPartyClient, proxy: TcpProxy, process: asyncio.subprocess.Process) -> None:
        self.client, self.proxy, self.delivery = client, proxy, Delivery()
        self.cut_count, self.failure = 0, ""
        self._process = process
        self._reader_task = asyncio.create_task(self._read_messages())

    async def inject_faults(self, faults: ConnectionFaults) -> None:
        """Cut and reset the connection, each time after the client has come back."""
        kinds = ["cut"] * faults.cut_count + ["reset"] * faults.reset_count
        _random.shuffle(kinds)
        try:
            for number, kind in enumerate(kinds):
                if kind == "cut":
                    await self.proxy.cut_next_write(
                        _EVENT_MARKER, is_reset=bool(number % 2), is_id_line_cut=not self.client.keeps_unfinished_frames
                    )
                    self.cut_count += 1
                else:
                    connection_count = self.proxy.connection_count
                    self.proxy.reset_connections()
                    await wait_until(
                        lambda before=connection_count: self._has_reconnected(before),  # type: ignore[misc]
                        timeout_s=_RECONNECT_TIMEOUT_S,
                    )
                await asyncio.sleep(_random.uniform(0, faults.max_pause_s))
        except (TimeoutError, AssertionError):
            self.failure = f"did not come back within {_RECONNECT_TIMEOUT_S:.0f} s"

    async def wait_for_seq(self, seq: int, timeout_s: float) -> None:
        """Wait for the event `seq`; where it does not come, say so in `failure`."""
        with suppress(AssertionError):
            await wait_until(lambda: self._has_reached(seq), timeout_s=timeout_s)
        if self._process.returncode is not None:
            self.failure = f"ended with status {self._process.returncode}"
        elif self.delivery.last_seq < seq:
            self.failure = self.failure or f"stands at event {self.delivery.last_seq} of {seq}"

    def build_report(self, log: Sequence[dict[str, object]]) -> ClientReport:
        return ClientReport(
            client=self.client,
            connection_count=self.proxy.connection_count,
            cut_count=self.cut_count,
            delivery=self.delivery.compare_with_log(log),
            failure=self.failure,
        )

    async def stop(self) -> None:
        """Interrupt it, so that it can stop what it has started, and kill what is left."""
        for signal_number in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError, TimeoutError):
                os.killpg(self._process.pid, signal_number)
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await self._process.wait()
        self._reader_task.cancel()

    async def _read_messages(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.delivery.record(line.decode(errors="replace"))

    async def _has_reached(self, seq: int) -> bool:
        return self.delivery.last_seq >= seq

    async def _has_reconnected(self, previous_count: int) -> bool:
        return self.proxy.connection_count > previous_count


@asynccontextmanager
async def run_clients(
    clients: Sequence[ThirdPartyClient], account: AccountClient, logs: Path
) -> AsyncIterator[list[RunningClient]]:
    """Run the clients on the account, from its first event. `logs` gets what they write to standard error."""
    service_port = account.http.base_url.port
    assert service_port is not None
    async with AsyncExitStack() as stack:
        running = []
        for client in clients:
            proxy = await stack.enter_async_context(TcpProxy(service_port))
            with (logs / f"{client.script}.log").open("wb") as log:
                process = await asyncio.create_subprocess_exec(
                    *client.command,
                    env=client.build_environment(proxy.url, account.api_key),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    limit=_MAX_LINE_BYTES,
                    start_new_session=True,
                )
            running.append(RunningClient(client, proxy, process))
            stack.push_async_callback(running[-1].stop)
        yield running


async def finish(running: Sequence[RunningClient], account: AccountClient, *, idle_s: float) -> list[ClientReport]:
    """Wait until all clients have the last event of the log, and `idle_s` for anything that comes after it."""
    log = await account.list_events()
    await asyncio.gather(*(client.wait_for_seq(log[-1]["seq"], _RECONNECT_TIMEOUT_S) for client in running))
    await asyncio.sleep(idle_s)
    return [client.build_report(log) for client in running]
