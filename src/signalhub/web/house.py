"""Everything the web process has, put together once by `signalhub.app` and found from any request."""

from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar.connection import ASGIConnection
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from signalhub.brokers.quotes import Quotes
from signalhub.services.accounts import Accounts
from signalhub.services.commands import Commands
from signalhub.services.hooks import Hooks
from signalhub.services.intake import Intake
from signalhub.services.keyring import Keyring
from signalhub.services.keys import Keys
from signalhub.services.tickets import Tickets
from signalhub.services.vault import Vault
from signalhub.services.views import Views
from signalhub.settings import Settings
from signalhub.streams.announcer import Announcer
from signalhub.streams.audience import Audience
from signalhub.streams.relay import Relay
from signalhub.web.limits import Limits

if TYPE_CHECKING:
    AnyConnection = ASGIConnection[Any, Any, Any, Any]
else:
    AnyConnection = ASGIConnection


class House(msgspec.Struct, frozen=True, kw_only=True):
    settings: Settings
    engine: AsyncEngine
    redis: Redis
    vault: Vault
    announcer: Announcer
    intake: Intake
    commands: Commands
    keyring: Keyring
    keys: Keys
    hooks: Hooks
    tickets: Tickets
    accounts: Accounts
    views: Views
    quotes: Quotes
    relay: Relay
    streams: Audience
    limits: Limits


def house(connection: "AnyConnection") -> House:
    return cast("House", connection.app.state["house"])
