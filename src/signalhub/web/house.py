"""Everything the web process has, put together once by `signalhub.app` and found from any request."""

from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar.connection import ASGIConnection
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from signalhub.brokers.quotes import QuoteProvider
from signalhub.services.accounts import Accounts
from signalhub.services.commands import OrderCommands
from signalhub.services.hooks import Hooks
from signalhub.services.intake import Ingest
from signalhub.services.keyring import Authenticator
from signalhub.services.keys import ApiKeys
from signalhub.services.tickets import Tickets
from signalhub.services.vault import Encryption
from signalhub.services.views import Queries
from signalhub.settings import Settings
from signalhub.streams.announcer import Publisher
from signalhub.streams.audience import ConnectionRegistry
from signalhub.streams.relay import Relay
from signalhub.web.limits import RateLimiter

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
