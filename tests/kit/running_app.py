"""A running web process, and methods that do on demand what a worker does when it is due."""

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
from tests.kit.polling import WAIT_LIMIT_S
from tests.kit.processes import CommandProcess, run_web

# Move the order into the past, so that the delays of its profile are over and it is due.
_MAKE_ORDER_DUE = text("""
    UPDATE orders SET created_at = created_at - make_interval(mins => 1),
        filled_at = filled_at - make_interval(mins => 1), due_at = statement_timestamp()
    WHERE id = CAST(:id AS uuid)
""")


class RunningApp:
    """`services` are those of a web process, in this process and on the database of the running one."""

    def __init__(self, settings: Settings, web: CommandProcess, http: httpx.AsyncClient, services: Services) -> None:
        self.settings, self.web, self.http, self.services = settings, web, http, services
        self.worker = WorkerServices(settings)

    async def create_account(self) -> AccountClient:
        return await AccountClient.register(self.http)

    async def advance_order(self, order_id: str) -> None:
        """Make the order due and advance it one step, as a worker would."""
        async with self.services.engine.begin() as connection:
            await connection.execute(_MAKE_ORDER_DUE, {"id": order_id})
        await self.worker.advance([order_id])

    async def append_events(
        self, account: AccountClient, count: int, *, type_: str = "account.broker_added", **data: object
    ) -> list[Event]:
        """Append events to the log of the account without publishing them."""
        new_events = [
            NewEvent(type=type_, account_id=account.id, data={"n": n, **data}, trace_id="0" * 32) for n in range(count)
        ]
        async with self.services.engine.begin() as connection:
            return await event_log.append_events(
                connection, await event_log.lock_heads(connection, {account.id}), new_events
            )

    async def publish_events(self, events: Sequence[Event]) -> None:
        """Put events into the Redis stream, in this order, one entry each."""
        for event in events:
            await redis_stream.publish(self.services.redis, (await self.services.redis_keys.load()).events, [event])

    async def execute_sql(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        """Run a statement on the database; return the rows, if it returns any."""
        async with self.services.engine.begin() as connection:
            result = await connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    async def delete_account(self, account: AccountClient) -> None:
        """Delete the account with its credentials, as an operator would. Its orders and events stay."""
        for table, column in (("broker_accounts", "account_id"), ("api_keys", "account_id"), ("accounts", "id")):
            await self.execute_sql(f"DELETE FROM {table} WHERE {column} = CAST(:id AS uuid)", id=account.id)  # noqa: S608 - names from here


@asynccontextmanager
async def run_app(settings: Settings, logs: Path) -> AsyncIterator[RunningApp]:
    """Run an app without a worker process, so that orders advance only when a test advances them."""
    async with run_web(settings, logs / f"web-{settings.web.port}.log") as web, open_client(settings) as http:
        services = build_services(settings, "web")
        app = RunningApp(settings, web, http, services)
        try:
            yield app
        finally:
            await app.worker.close()
            await services.close()


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client without credentials and without a limit on connections, for many streams at once."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(
        base_url=settings.web.base_url,
        limits=limits,
        timeout=WAIT_LIMIT_S,
        verify=False,  # noqa: S501 - loopback, no TLS
    ) as http:
        # One client acts for many accounts: a cookie of one must not authenticate the next.
        http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield http
