"""The only place where the web process is put together."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from litestar import Litestar
from litestar.datastructures import State
from sqlalchemy.exc import SQLAlchemyError

from db.engine import create_engine
from signalhub import log, memory, parent
from signalhub import settings as settings_
from signalhub.brokers import chosen
from signalhub.brokers.quotes import Quotes
from signalhub.services.accounts import Accounts
from signalhub.services.commands import Commands
from signalhub.services.drafts import Placing
from signalhub.services.hooks import Hooks
from signalhub.services.intake import Intake
from signalhub.services.keyring import Keyring
from signalhub.services.keys import Keys
from signalhub.services.tickets import Tickets
from signalhub.services.vault import Vault
from signalhub.services.views import Views
from signalhub.settings import Settings
from signalhub.streams import wire
from signalhub.streams.announcer import Announcer
from signalhub.streams.audience import Audience
from signalhub.streams.relay import Relay
from signalhub.web import (
    accounts,
    directly,
    feeds,
    health,
    legacy,
    orders,
    pages,
    problems,
    quotes,
    schema,
    signals,
    sockets,
)
from signalhub.web.house import House
from signalhub.web.limits import Limits

_WATCH_S = 1.0
_NOTE_S = 10.0
_BODY_LIMIT = 1024 * 1024

_log = structlog.get_logger()


def create_app(settings: Settings) -> Litestar:
    """The web application. Connections are opened when it starts."""
    house = furnish(settings)
    app = Litestar(
        route_handlers=[
            signals.ROUTES,
            orders.ROUTES,
            quotes.ROUTES,
            legacy.ROUTES,
            accounts.ROUTES,
            feeds.follow,
            sockets.ROUTES,
            health.ROUTES,
            pages.ROUTES,
        ],
        state=State({"house": house}),
        lifespan=[lambda _: _running(house)],
        exception_handlers=problems.HANDLERS,
        request_max_body_size=_BODY_LIMIT,
        openapi_config=schema.config(),
        logging_config=None,
        pdb_on_exception=False,
        debug=False,
    )
    app.asgi_handler = directly.remembered(app.asgi_handler)
    return app


def serve() -> Litestar:
    """What granian runs in each web process: the application, with the drain that granian itself lacks."""
    settings = settings_.from_env(os.environ)
    log.configure(settings.log_level, settings.log_format)
    app = create_app(settings)
    house: House = app.state.house
    app.on_startup += [lambda: _drain_on_sigterm(house), memory.settle]
    return app


def furnish(settings: Settings) -> House:
    engine = create_engine(settings.database_url)
    broker = chosen.broker(settings)
    announcer = Announcer(settings.redis_url)
    vault = Vault(settings.encryption_keys)
    say = announcer.announce
    return House(
        settings=settings,
        engine=engine,
        redis=wire.connect(settings.redis_url, timeout_s=1.0),
        vault=vault,
        announcer=announcer,
        intake=Intake(engine, broker, say, placing=Placing.of(settings), queue=settings.intake_queue),
        commands=Commands(engine, broker, say),
        keyring=Keyring(engine),
        keys=Keys(engine, say),
        hooks=Hooks(engine, vault, say),
        tickets=Tickets(engine),
        accounts=Accounts(engine, vault, say),
        views=Views(engine),
        quotes=Quotes(settings.broker_options),
        relay=Relay(engine, settings.redis_url),
        streams=Audience(most_per_account=settings.max_streams_per_account, patience_s=settings.slow_reader_s),
        limits=Limits(settings.rate_limit),
    )


@asynccontextmanager
async def _running(house: House) -> AsyncIterator[None]:
    await house.relay.start()
    tasks = [asyncio.create_task(_end_dead_streams(house)), asyncio.create_task(_note_uses(house))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await house.streams.close()
        await house.relay.stop()
        await house.announcer.close()
        await house.redis.aclose()
        await house.engine.dispose()


async def _end_dead_streams(house: House) -> None:
    """Close the streams of keys that were revoked, in whichever process that was, or have expired; and stuck ones."""
    while True:
        await asyncio.sleep(_WATCH_S)
        house.streams.look()
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            for key_id in await house.keyring.dead(house.streams.keys()):
                house.streams.end(key_id, "revoked")


async def _note_uses(house: House) -> None:
    while True:
        await asyncio.sleep(_NOTE_S)
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            await house.keyring.note_uses()


def _drain_on_sigterm(house: House) -> None:
    """On SIGTERM, or left without a parent: refuse what is new, end the streams, then let granian stop as on SIGINT.

    Left to itself granian waits for open streams until its kill timeout, and then skips the lifespan's end.
    """

    async def drain() -> None:
        _log.info("web.draining")
        await house.streams.close()
        os.kill(os.getpid(), signal.SIGINT)

    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    loop.add_signal_handler(signal.SIGTERM, lambda: tasks.add(loop.create_task(drain())))
    tasks.add(loop.create_task(parent.watch(lambda: os.kill(os.getpid(), signal.SIGTERM))))
