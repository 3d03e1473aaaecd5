"""`signalhub web`, `worker` and `migrate`: the commands that a deployment runs."""

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from sqlalchemy.exc import DBAPIError

from db.engine import create_engine
from db.migrate import upgrade
from signalhub import logging_setup, shared_metrics
from signalhub.brokers import factory
from signalhub.cli.local_state import complete_settings, require_settings
from signalhub.cli.output import exit_with_error, summarize_error
from signalhub.settings import Settings, from_env


@click.command()
@click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the database.")
def migrate(wait: float) -> None:
    """Bring the database's schema up to date.

    Safe to run from many machines at once: one does it, the others wait.
    """
    settings = require_settings(complete_settings(from_env(os.environ)), "database_url")
    revision = asyncio.run(upgrade_schema(settings.database_url, wait))
    click.echo(f"The schema is at revision {revision}.")


async def upgrade_schema(database_url: str, timeout_s: float) -> str:
    """Upgrade the schema and return its revision. Retries for `timeout_s`: the database may still be starting."""
    engine = create_engine(database_url, statement_timeout_s=None)
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        while True:
            try:
                return await upgrade(engine)
            except (OSError, DBAPIError, TimeoutError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise click.ClickException(
                        f"The database cannot be reached or refuses: {summarize_error(error)}"
                    ) from None
                await asyncio.sleep(0.5)
    finally:
        await engine.dispose()


def load_server_settings(*required: str) -> Settings:
    """Return the settings and configure logging. Exits with status 2 where one of `required` is not set."""
    settings = require_broker(require_settings(from_env(os.environ), *required))
    logging_setup.configure(settings.log_level, settings.log_format)
    return settings


@click.command()
def web() -> None:
    """Run the web processes (HTTP, SSE, WebSocket).

    Needs SIGNALHUB_DATABASE_URL, SIGNALHUB_REDIS_URL and SIGNALHUB_ENCRYPTION_KEYS, and a schema that `signalhub
    migrate` has brought up to date.
    """
    from granian import Granian  # noqa: PLC0415 - only this command needs a web server
    from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes  # noqa: PLC0415

    settings = load_server_settings("database_url", "redis_url", "encryption_keys")
    with TemporaryDirectory(prefix="signalhub-metrics-") as directory:
        shared_metrics.share_directory(Path(directory))
        # Web processes are forks of this one: a respawned one need not import the application again.
        import signalhub.app  # noqa: F401, PLC0415

        Granian(
            "signalhub.app:serve",
            factory=True,
            address=settings.web.host,
            port=settings.web.port,
            interface=Interfaces.ASGI,
            workers=settings.web.processes,
            loop=Loops.uvloop,
            # Socket writes are started without awaiting the previous one; a thread pool would not keep their order.
            runtime_mode=RuntimeModes.st,
            # No client uses HTTP/2 without TLS; it hides that a subscriber has disconnected, and takes 11 kB a stream.
            http=HTTPModes.http1,
            # Open streams count as pending requests: at the default, 1,024 of them block the process.
            backpressure=20_000,
            backlog=4_096,
            respawn_failed_workers=True,
            respawn_interval=0.2,
            workers_kill_timeout=10,
            log_enabled=False,
        ).serve()


@click.command()
def worker() -> None:
    """Run the worker processes (Dramatiq actors and the scheduler).

    Needs SIGNALHUB_DATABASE_URL and SIGNALHUB_REDIS_URL, and a schema that `signalhub migrate` has brought up to date.
    """
    settings = load_server_settings("database_url", "redis_url")
    if directory := os.environ.get(shared_metrics.DIRECTORY_VARIABLE):
        shared_metrics.share_directory(Path(directory))
        os.environ["dramatiq_prom_db"] = directory  # noqa: SIM112 - as Dramatiq reads it
    # A prefetch of twice the threads would leave the consumer asleep half the time; a much larger one would starve
    # other processes.
    os.environ.setdefault("dramatiq_queue_prefetch", str(settings.worker.threads * 4))
    from dramatiq.cli import main, make_argument_parser  # noqa: PLC0415 - reads the environment when imported

    arguments = ["actors.worker:boot", "-p", str(settings.worker.processes), "-t", str(settings.worker.threads)]
    # A worker that exits during boot goes unnoticed for this long (ms); the default is 30 s.
    arguments += ["--worker-fork-timeout", "100"]
    arguments += ["--worker-shutdown-timeout", "8000", "--skip-logging"]
    raise SystemExit(main(make_argument_parser().parse_args(arguments)))  # type: ignore[no-untyped-call]


def require_broker(settings: Settings) -> Settings:
    """Return the settings. Exits with status 2 where the broker is unknown or misconfigured.

    Checked before processes start, which would exit and be restarted again and again.
    """
    try:
        factory.create_broker(settings)
    except (LookupError, ValueError) as error:
        exit_with_error(str(error), status=2)
    return settings
