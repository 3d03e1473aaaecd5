"""Put the web application together from its routes, plugins and exception handlers."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.types import ASGIApp
from sqlalchemy.exc import SQLAlchemyError

from signalhub import process_upkeep, shared_metrics
from signalhub import settings as settings_
from signalhub.container import Services, build_services
from signalhub.settings import Settings
from signalhub.streams.plugin import StreamsPlugin
from signalhub.web import accounts, dashboard, health, openapi, orders, problems, quotes, signals, sse, websocket
from signalhub.web.auth import DEPENDENCIES
from signalhub.web.load_shedding import LoadShedder
from signalhub.web.middleware import FRAMEWORK_MIDDLEWARE, watch_answers
from signalhub.web.origins import refuse_unknown_hosts
from signalhub.web.rate_limit import RateLimiter
from signalhub.web.request_context import MAX_JSON_BODY_BYTES, OutermostApplication
from signalhub.web.request_validation import validate_request
from signalhub.web.startup import Startup

_USAGE_RECORD_INTERVAL_S = 10.0

_log = structlog.get_logger()


def create_app(settings: Settings) -> Litestar:
    """Create the web application. Its connections are opened when it starts."""
    services = build_services(settings, "web")
    startup = Startup(settings.web, services.engine, services.relay.start)
    watch_answers(services.engine)
    return Litestar(
        route_handlers=[
            signals.ROUTES,
            Router(
                "/",
                route_handlers=[orders.ROUTES, quotes.ROUTES, accounts.ROUTES, dashboard.ROUTES],
                middleware=FRAMEWORK_MIDDLEWARE,
                before_request=validate_request,
            ),
            health.ROUTES,
        ],
        state=State({"services": services, "startup": startup, "rate_limiter": RateLimiter(settings.web.rate_limit)}),
        lifespan=[lambda _: _manage_lifespan(services)],
        plugins=[
            StreamsPlugin(
                services.relay,
                services.connections,
                routes=[sse.follow, websocket.ROUTES],
                start=startup.begin,
                find_inactive_keys=services.authenticator.find_inactive_keys,
            )
        ],
        dependencies=DEPENDENCIES,
        exception_handlers=problems.EXCEPTION_HANDLERS,
        request_max_body_size=MAX_JSON_BODY_BYTES,
        openapi_config=openapi.create_openapi_config(),
        logging_config=None,
        pdb_on_exception=False,
        debug=False,
    )


def load_application() -> ASGIApp:
    """Create what each web process serves: the application, with heartbeats and the drain on SIGTERM."""
    settings = settings_.from_env(os.environ)
    app = create_app(settings)
    services: Services = app.state.services
    startup: Startup = app.state.startup
    app.on_startup += [lambda: _start_upkeep(services), process_upkeep.freeze_gc]
    load_shedder = LoadShedder(problems.encode_overload_refusal(settings.web.base_url))
    inner = refuse_unknown_hosts(app, settings.web)
    application = OutermostApplication(startup.gate(inner), load_shedder)
    startup.done_callbacks.append(lambda: application.replace_inner(inner))  # a signal does not pass the gate any more
    return application


@asynccontextmanager
async def _manage_lifespan(services: Services) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(_record_credential_usage(services)),
        asyncio.create_task(shared_metrics.flush_forever()),
        asyncio.create_task(services.redis_monitor.run()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await services.close()


async def _record_credential_usage(services: Services) -> None:
    while True:
        await asyncio.sleep(_USAGE_RECORD_INTERVAL_S)
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            await services.authenticator.record_uses()


def _start_upkeep(services: Services) -> None:
    """Send heartbeats. On SIGTERM, or without a parent: reject new streams, close the open ones, stop granian.

    On its own granian waits for open streams until it is killed, and then skips the lifespan's end.
    """
    loop = asyncio.get_running_loop()
    tasks: dict[str, asyncio.Task[None]] = {}

    async def drain() -> None:
        _log.info("web.shutdown_started")
        await services.connections.close_all()
        # granian stops on SIGINT. It was blocked, since one that the whole process group got would cut the streams.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.kill(os.getpid(), signal.SIGINT)

    def start_drain() -> None:
        if "drain" not in tasks:  # a second signal asks for the same
            tasks["drain"] = loop.create_task(drain())

    tasks["heartbeats"] = loop.create_task(process_upkeep.send_heartbeats())
    tasks["parent check"] = loop.create_task(process_upkeep.exit_with_parent(start_drain))
    loop.add_signal_handler(signal.SIGTERM, start_drain)
