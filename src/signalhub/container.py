"""The service's parts, put together in one place for the web processes, the workers and the CLI.

A part is built on its first use, and its connections open on their first use after that: a process has only what it
needs, and a command works without the settings of parts that it does not touch.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Final, Literal

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from db.engine import create_engine
from signalhub import redis_clients
from signalhub.brokers import factory
from signalhub.brokers.base import Broker
from signalhub.brokers.mock.quotes import QuoteProvider
from signalhub.domain.events import Event, Publish
from signalhub.domain.retry import RetryPolicy
from signalhub.services.accounts import Accounts
from signalhub.services.auth import Authenticator
from signalhub.services.encryption import Encryption
from signalhub.services.ingest import Ingest
from signalhub.services.keys_and_hooks import ApiKeys, Hooks
from signalhub.services.lifecycle import Lifecycle, PublishEvents
from signalhub.services.order_commands import OrderCommands
from signalhub.services.queries import Queries
from signalhub.services.signal_records import OrderDefaults
from signalhub.services.tickets import Tickets
from signalhub.settings import Settings
from signalhub.streams.connections import ConnectionRegistry
from signalhub.streams.publisher import Publisher
from signalhub.streams.redis_state import RedisKeyLoader, RedisMonitor
from signalhub.streams.stream_relay import Relay

Role = Literal["web", "worker", "cli"]

# The CLI has time to wait for a slow Redis; a web process or a worker owes its answers sooner.
_REDIS_TIMEOUT_S: Final[dict[Role, float]] = {"web": 1.0, "worker": 1.0, "cli": 2.0}


class Services:
    """The parts of one process, each built on first use. Close them with `close`."""

    def __init__(self, settings: Settings, role: Role) -> None:
        self.settings, self.role = settings, role

    @cached_property
    def engine(self) -> AsyncEngine:
        settings = self.settings
        if self.role != "worker":
            return create_engine(settings.database_url)
        # A statement that outlives the lease comes too late: by then another worker may have claimed the order.
        return create_engine(
            settings.database_url, pool_size=settings.worker.threads + 2, statement_timeout_s=settings.worker.lease_s
        )

    @cached_property
    def redis(self) -> Redis:
        return redis_clients.connect_async(self.settings.redis_url, timeout_s=_REDIS_TIMEOUT_S[self.role])

    @cached_property
    def redis_keys(self) -> RedisKeyLoader:
        return RedisKeyLoader(self.engine)

    @cached_property
    def redis_monitor(self) -> RedisMonitor:
        return RedisMonitor(self.redis, self.redis_keys, is_worker=self.role == "worker")

    @cached_property
    def encryption(self) -> Encryption:
        """Raises EncryptionError where the settings hold no usable key."""
        return Encryption(self.settings.encryption_keys)

    @cached_property
    def broker(self) -> Broker:
        return factory.create_broker(self.settings)

    @cached_property
    def publisher(self) -> Publisher:
        return Publisher(self.settings.redis_url, self.redis_keys)

    @cached_property
    def publish(self) -> Publish:
        """Pass committed events on. The CLI does not.

        Web processes compare their streams with the database every few seconds and pass on what they find there, so
        a command that needs only PostgreSQL works while Redis is away.
        """
        return _skip_publish if self.role == "cli" else self.publisher.publish_soon

    @cached_property
    def ingest(self) -> Ingest:
        return Ingest(
            self.engine,
            self.broker,
            self.publish,
            order_defaults=OrderDefaults.from_settings(self.settings),
            max_pending=self.settings.web.intake_queue,
        )

    @cached_property
    def order_commands(self) -> OrderCommands:
        return OrderCommands(self.engine, self.broker, self.publish)

    @cached_property
    def authenticator(self) -> Authenticator:
        return Authenticator(self.engine)

    @cached_property
    def keys(self) -> ApiKeys:
        return ApiKeys(self.engine, self.publish, max_active=self.settings.account.max_keys)

    @cached_property
    def hooks(self) -> Hooks:
        return Hooks(self.engine, self.encryption, self.publish, max_active=self.settings.account.max_hooks)

    @cached_property
    def tickets(self) -> Tickets:
        return Tickets(self.engine, max_open_per_key=self.settings.account.max_tickets)

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(
            self.engine,
            self.encryption,
            self.publish,
            max_broker_accounts=self.settings.account.max_broker_accounts,
        )

    @cached_property
    def queries(self) -> Queries:
        return Queries(self.engine)

    @cached_property
    def quotes(self) -> QuoteProvider:
        return QuoteProvider(self.settings.broker)

    @cached_property
    def relay(self) -> Relay:
        return Relay(self.engine, self.settings.redis_url, redis_monitor=self.redis_monitor)

    @cached_property
    def connections(self) -> ConnectionRegistry:
        return ConnectionRegistry(
            max_per_account=self.settings.streams.max_per_account, write_timeout_s=self.settings.streams.slow_reader_s
        )

    def create_lifecycle(self, publish: PublishEvents) -> Lifecycle:
        """Return the lifecycle of this process's orders. `publish` gets the events of steps that end late."""
        settings = self.settings
        retry_policy = RetryPolicy(settings.retry.max_attempts, settings.retry.base_delay_s, settings.retry.max_delay_s)
        return Lifecycle(self.engine, self.broker, retry_policy, lease_s=settings.worker.lease_s, publish=publish)

    async def close(self) -> None:
        """Publish what is pending, then close the connections of every part that was built."""
        built = vars(self)
        if "publisher" in built:
            await self.publisher.close()
        if "redis" in built:
            await self.redis.aclose()
        if "engine" in built:
            await self.engine.dispose()


def build_services(settings: Settings, role: Role) -> Services:
    """Return the services of a process. A web process or a worker with unusable settings fails here, at its start.

    Raises EncryptionError or whatever the broker's factory raises.
    """
    services = Services(settings, role)
    if role == "web":
        _ = services.encryption, services.ingest, services.quotes, services.relay, services.redis
    elif role == "worker":
        _ = services.broker, services.engine, services.redis
    return services


def _skip_publish(_events: Sequence[Event], _due_orders: Sequence[tuple[str, str]]) -> None: ...
