"""A running installation: a web process, and hands that do at once what a worker does in its own time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path

import httpx
from sqlalchemy import text

from actors.worker import WorkerServices
from db import event_log
from signalhub.container import Services, build_services
from signalhub.domain.events import Event, NewEvent
from signalhub.settings import Settings
from signalhub.streams import redis_stream
from tests.kit.account_client import AccountClient
from tests.kit.processes import CommandProcess, run_web

# As if the order had been accepted, and filled, long ago: the profile's waits are over, and it is due.
_MAKE_ORDER_DUE = text("""
    UPDATE orders SET created_at = created_at - make_interval(mins => 1),
        filled_at = filled_at - make_interval(mins => 1), due_at = statement_timestamp()
    WHERE id = CAST(:id AS uuid)
""")


class RunningApp:
    """`house` is what a web process is made of, in this process and on the same database as the running one."""

    def __init__(self, settings: Settings, web: CommandProcess, http: httpx.AsyncClient, services: Services) -> None:
        self.settings, self.web, self.http, self.services = settings, web, http, services
        self.worker = WorkerServices(settings)

    async def create_account(self) -> AccountClient:
        """A fresh account."""
        return await AccountClient.register(self.http)

    async def advance_order(self, order_id: str) -> None:
        """Let the order's time come, and take it one step on, as a worker would."""
        async with self.services.engine.begin() as connection:
            await connection.execute(_MAKE_ORDER_DUE, {"id": order_id})
        await self.worker.advance([order_id])

    async def append_events(
        self, account: AccountClient, count: int, *, type_: str = "account.broker_added", **data: object
    ) -> list[Event]:
        """Events in the account's log that nobody has been told of."""
        facts = [
            NewEvent(type=type_, account_id=account.id, data={"n": n, **data}, trace_id="0" * 32) for n in range(count)
        ]
        async with self.services.engine.begin() as connection:
            return await event_log.append_events(
                connection, await event_log.lock_heads(connection, {account.id}), facts
            )

    async def publish_events(self, events: Sequence[Event]) -> None:
        """Put events into the Redis stream, in this order, an entry each."""
        for event in events:
            await redis_stream.publish(self.services.redis, [event])

    async def execute_sql(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        """Look at, or touch, what is stored."""
        async with self.services.engine.begin() as connection:
            result = await connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    async def delete_account(self, account: AccountClient) -> None:
        """As an operator would: the account with its credentials. What it did is left."""
        for table, column in (("broker_accounts", "account_id"), ("api_keys", "account_id"), ("accounts", "id")):
            await self.execute_sql(f"DELETE FROM {table} WHERE {column} = CAST(:id AS uuid)", id=account.id)  # noqa: S608 - names from here


@asynccontextmanager
async def run_app(settings: Settings, logs: Path) -> AsyncIterator[RunningApp]:
    """A app whose orders move only when a test says so: it has no worker process."""
    async with run_web(settings, logs / f"web-{settings.web.port}.log") as web, open_client(settings) as http:
        house = build_services(settings, "web")
        app = RunningApp(settings, web, http, house)
        try:
            yield app
        finally:
            await app.worker.close()
            await house.close()


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a credential, good for many streams at once."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(base_url=settings.web.base_url, limits=limits, timeout=15, verify=False) as http:  # noqa: S501 - loopback, no TLS
        # Clients of a test are many people: what one is given must not speak for the next.
        http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield http
