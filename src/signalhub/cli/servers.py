"""`signalhub web`, `worker` and `migrate`: the commands that a deployment runs."""

import asyncio
import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import structlog
from alembic.util.exc import CommandError
from sqlalchemy.exc import DBAPIError

from db.engine import create_engine, is_transient
from db.migrate import upgrade
from signalhub import logging_setup, shared_metrics
from signalhub.brokers import factory
from signalhub.cli.local_state import complete_settings, require_settings
from signalhub.cli.output import exit_with_error, get_color
from signalhub.embedded import EmbeddedError, web_port
from signalhub.services.encryption import Encryption, EncryptionError
from signalhub.settings import Settings, from_env
from signalhub.supervision import ForkedProcess, run_processes

_log = structlog.get_logger()


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
    """Upgrade the schema and return its revision.

    Retries for `timeout_s` what may pass, since the database may still be starting. Raises ClickException.
    """
    # Not at the top: it imports the metrics, and `web` and `worker` name their directory before that.
    from signalhub.cli.services import describe_database_error  # noqa: PLC0415

    engine = create_engine(database_url, statement_timeout_s=None)
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        while True:
            try:
                return await upgrade(engine)
            except CommandError as error:  # a schema of a later version
                raise click.ClickException(f"The schema cannot be migrated: {error}.") from None
            except (OSError, DBAPIError, TimeoutError) as error:
                if not is_transient(error) or asyncio.get_running_loop().time() > deadline:
                    raise click.ClickException(describe_database_error(error)) from None
                await asyncio.sleep(0.5)
    finally:
        await engine.dispose()


def load_server_settings(*required: str) -> Settings:
    """Return the settings and configure logging. Exits with status 2 where one of `required` is not set."""
    settings = require_broker(require_settings(from_env(os.environ), *required))
    logging_setup.configure(settings.log_level, settings.log_format, color=get_color())
    return settings


@click.command()
def web() -> None:
    """Run the web processes (HTTP, SSE, WebSocket).

    Needs SIGNALHUB_DATABASE_URL, SIGNALHUB_REDIS_URL and SIGNALHUB_ENCRYPTION_KEYS, and a schema that `signalhub
    migrate` has brought up to date: it answers 503 until then.
    """
    settings = load_server_settings("database_url", "redis_url", "encryption_keys")
    try:  # before there are processes, which would exit and be restarted again and again
        Encryption(settings.encryption_keys)
    except EncryptionError as error:
        exit_with_error(str(error), status=2)
    try:
        listener = web_port.inherit_listener() or web_port.open_listener(settings.web.host, settings.web.port)
    except EmbeddedError as error:
        exit_with_error(str(error))
    # Longer than a slow reader has: one that acknowledges and does not read is closed and counted by the process.
    web_port.limit_unacknowledged_time(listener, 2 * settings.streams.slow_reader_s)
    with TemporaryDirectory(prefix="signalhub-metrics-") as directory, listener:
        shared_metrics.share_directory(Path(directory))
        # Imported before the processes are forked, and after the environment names the directory.
        from signalhub import web_server  # noqa: PLC0415
        from signalhub.app import load_application  # noqa: PLC0415

        _log.info("web.listening", host=settings.web.host, port=listener.getsockname()[1], pid=os.getpid())
        serve = partial(
            web_server.serve,
            listener,
            load_application,
            backlog=web_port.MAX_PENDING_CONNECTIONS,
            keep_alive_s=settings.web.keep_alive_s,
        )
        run_processes([ForkedProcess(f"web-{number}", serve) for number in range(1, settings.web.processes + 1)])


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
    # Imported before the processes are forked, and after the environment is complete, which Dramatiq reads then.
    from actors import worker as worker_process  # noqa: PLC0415

    processes = [
        ForkedProcess(f"worker-{number}", worker_process.run) for number in range(1, settings.worker.processes + 1)
    ]
    if "dramatiq_prom_port" in os.environ and directory:
        processes.append(ForkedProcess("worker-metrics", worker_process.serve_metrics))
    run_processes(processes)


def require_broker(settings: Settings) -> Settings:
    """Return the settings. Exits with status 2 where the broker is unknown or misconfigured.

    Checked before processes start, which would exit and be restarted again and again.
    """
    try:
        factory.create_broker(settings)
    except (LookupError, ValueError) as error:
        exit_with_error(str(error), status=2)
    return settings
