"""The only place where the web process is put together."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ASGIApp
from sqlalchemy.exc import SQLAlchemyError

from db.engine import create_engine
from signalhub import log, process
from signalhub import settings as settings_
from signalhub.brokers import factory
from signalhub.brokers.mock.quotes import QuoteProvider
from signalhub.services.accounts import Accounts
from signalhub.services.auth import Authenticator
from signalhub.services.credentials import ApiKeys, Hooks
from signalhub.services.encryption import Encryption
from signalhub.services.ingest import Ingest
from signalhub.services.order_commands import OrderCommands
from signalhub.services.queries import Queries
from signalhub.services.records import OrderDefaults
from signalhub.services.tickets import Tickets
from signalhub.settings import Settings
from signalhub.streams import redis_stream
from signalhub.streams.connections import ConnectionRegistry
from signalhub.streams.plugin import RawSendMiddleware, StreamsPlugin
from signalhub.streams.publisher import Publisher
from signalhub.streams.relay import Relay
from signalhub.web import accounts, dashboard, health, openapi, orders, problems, quotes, signals, sse, websocket
from signalhub.web.dependencies import Services
from signalhub.web.rate_limit import RateLimiter

_USAGE_RECORD_INTERVAL_S = 10.0
_MAX_REQUEST_BODY_BYTES = 1024 * 1024

_log = structlog.get_logger()


def create_app(settings: Settings) -> Litestar:
    """The web application. Connections are opened when it starts."""
    house = build_services(settings)
    return Litestar(
        route_handlers=[
            signals.ROUTES,
            orders.ROUTES,
            quotes.ROUTES,
            accounts.ROUTES,
            health.ROUTES,
            dashboard.ROUTES,
        ],
        state=State({"services": house}),
        lifespan=[lambda _: _manage_lifespan(house)],
        plugins=[
            StreamsPlugin(
                house.relay,
                house.connections,
                routes=[sse.follow, websocket.ROUTES],
                find_inactive_keys=house.authenticator.find_inactive_keys,
            )
        ],
        exception_handlers=problems.EXCEPTION_HANDLERS,
        request_max_body_size=_MAX_REQUEST_BODY_BYTES,
        openapi_config=openapi.create_openapi_config(),
        logging_config=None,
        pdb_on_exception=False,
        debug=False,
    )


def serve() -> ASGIApp:
    """What granian runs in each web process: the application, with the drain that granian itself lacks."""
    settings = settings_.from_env(os.environ)
    log.configure(settings.log_level, settings.log_format)
    app = create_app(settings)
    services: Services = app.state.services
    app.on_startup += [lambda: _drain_on_sigterm(services), process.freeze_gc]
    return RawSendMiddleware(app)


def build_services(settings: Settings) -> Services:
    engine = create_engine(settings.database_url)
    broker = factory.create_broker(settings)
    announcer = Publisher(settings.redis_url)
    vault = Encryption(settings.encryption_keys)
    say = announcer.publish_soon
    return Services(
        settings=settings,
        engine=engine,
        redis=redis_stream.connect(settings.redis_url, timeout_s=1.0),
        encryption=vault,
        publisher=announcer,
        ingest=Ingest(
            engine, broker, say, order_defaults=OrderDefaults.from_settings(settings), max_pending=settings.intake_queue
        ),
        order_commands=OrderCommands(engine, broker, say),
        authenticator=Authenticator(engine),
        keys=ApiKeys(engine, say),
        hooks=Hooks(engine, vault, say),
        tickets=Tickets(engine),
        accounts=Accounts(engine, vault, say),
        queries=Queries(engine),
        quotes=QuoteProvider(settings.broker_options),
        relay=Relay(engine, settings.redis_url),
        connections=ConnectionRegistry(
            max_per_account=settings.max_streams_per_account, write_timeout_s=settings.slow_reader_s
        ),
        rate_limiter=RateLimiter(settings.rate_limit),
    )


@asynccontextmanager
async def _manage_lifespan(services: Services) -> AsyncIterator[None]:
    task = asyncio.create_task(_record_credential_usage(services))
    try:
        yield
    finally:
        task.cancel()
        await services.publisher.close()
        await services.redis.aclose()
        await services.engine.dispose()


async def _record_credential_usage(services: Services) -> None:
    while True:
        await asyncio.sleep(_USAGE_RECORD_INTERVAL_S)
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            await services.authenticator.record_uses()


def _drain_on_sigterm(services: Services) -> None:
    """On SIGTERM, or left without a parent: refuse what is new, end the streams, then let granian stop as on SIGINT.

    Left to itself granian waits for open streams until its kill timeout, and then skips the lifespan's end.
    """

    async def drain() -> None:
        _log.info("web.shutdown_started")
        await services.connections.close_all()
        os.kill(os.getpid(), signal.SIGINT)

    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    loop.add_signal_handler(signal.SIGTERM, lambda: tasks.add(loop.create_task(drain())))
    tasks.add(loop.create_task(process.exit_with_parent(lambda: os.kill(os.getpid(), signal.SIGTERM))))
