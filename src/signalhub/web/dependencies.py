"""Everything the web process has, put together once by `signalhub.app` and found from any request."""

from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar.connection import ASGIConnection
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from signalhub.brokers.mock.quotes import QuoteProvider
from signalhub.services.accounts import Accounts
from signalhub.services.auth import Authenticator
from signalhub.services.credentials import ApiKeys, Hooks
from signalhub.services.encryption import Encryption
from signalhub.services.ingest import Ingest
from signalhub.services.order_commands import OrderCommands
from signalhub.services.queries import Queries
from signalhub.services.tickets import Tickets
from signalhub.settings import Settings
from signalhub.streams.connections import ConnectionRegistry
from signalhub.streams.publisher import Publisher
from signalhub.streams.relay import Relay
from signalhub.web.rate_limit import RateLimiter

if TYPE_CHECKING:
    AnyConnection = ASGIConnection[Any, Any, Any, Any]
else:
    AnyConnection = ASGIConnection


class Services(msgspec.Struct, frozen=True, kw_only=True):
    settings: Settings
    engine: AsyncEngine
    redis: Redis
    encryption: Encryption
    publisher: Publisher
    ingest: Ingest
    order_commands: OrderCommands
    authenticator: Authenticator
    keys: ApiKeys
    hooks: Hooks
    tickets: Tickets
    accounts: Accounts
    queries: Queries
    quotes: QuoteProvider
    relay: Relay
    connections: ConnectionRegistry
    rate_limiter: RateLimiter


def get_services(connection: "AnyConnection") -> Services:
    return cast("Services", connection.app.state["services"])
