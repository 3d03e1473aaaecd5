"""`migrate`, and the wait for a database that starts at the same time as we do.

The long-running processes: `web` and `worker`.
"""

import asyncio
import os

import click
from sqlalchemy.exc import DBAPIError

from db.engine import create_engine
from db.migrate import upgrade
from signalhub import log, settings
from signalhub.cli.local_state import complete_settings, require_broker, require_settings
from signalhub.cli.output import summarize_error
from signalhub.settings import Settings


@click.command()
@click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the database.")
def migrate(wait: float) -> None:
    """Bring the database's schema up to date.

    Safe to run from many machines at once: one does it, the others wait.
    """
    found = require_settings(complete_settings(settings.from_env(os.environ)), "database_url")
    revision = asyncio.run(upgrade_schema(found.database_url, wait))
    click.echo(f"The schema is at revision {revision}.")


async def upgrade_schema(database_url: str, timeout_s: float) -> str:
    """The revision reached. A database that refuses is asked again for `wait_s`: it may still be starting."""
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
    """The settings, with the `needed` ones given: these processes start nothing that could stand in for them."""
    found = require_broker(require_settings(settings.from_env(os.environ), *required))
    log.configure(found.log_level, found.log_format)
    return found


@click.command()
def web() -> None:
    """Run the web processes (HTTP, SSE, WebSocket).

    Needs SIGNALHUB_DATABASE_URL, SIGNALHUB_REDIS_URL and SIGNALHUB_ENCRYPTION_KEYS, and a schema that `signalhub
    migrate` has brought up to date.
    """
    from granian import Granian  # noqa: PLC0415 - a web server is imported by those who serve
    from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes  # noqa: PLC0415

    # Web processes are forks of this one: what it has loaded, one that takes a dead one's place need not load again.
    import signalhub.app  # noqa: F401, PLC0415

    found = load_server_settings("database_url", "redis_url", "encryption_keys")
    Granian(
        "signalhub.app:serve",
        factory=True,
        address=found.web.host,
        port=found.web.port,
        interface=Interfaces.ASGI,
        workers=found.web.processes,
        loop=Loops.uvloop,
        # Writes to a socket are begun without waiting for one another; a pool of threads need not keep their order.
        runtime_mode=RuntimeModes.st,
        # HTTP/2 without TLS is spoken by nobody, hides that a stream's reader has gone, and takes 11 kB a stream.
        http=HTTPModes.http1,
        # Open streams count against this: at its default of 1,024 of them a process answers nothing else.
        backpressure=20_000,
        backlog=4_096,
        respawn_failed_workers=True,
        respawn_interval=0.2,
        workers_kill_timeout=10,
        log_enabled=False,
    ).serve()


@click.command()
def worker() -> None:
    """Run the worker processes (Dramatiq actors and the clock).

    Needs SIGNALHUB_DATABASE_URL and SIGNALHUB_REDIS_URL, and a schema that `signalhub migrate` has brought up to date.
    """
    found = load_server_settings("database_url", "redis_url")
    # Twice the threads would leave the consumer asleep half the time; many more would starve other processes.
    os.environ.setdefault("dramatiq_queue_prefetch", str(found.worker.threads * 4))
    from dramatiq.cli import main, make_argument_parser  # noqa: PLC0415 - reads the environment when imported

    arguments = ["actors.worker:boot", "-p", str(found.worker.processes), "-t", str(found.worker.threads)]
    # Until this has passed a worker that dies while it boots goes unnoticed; the default is half a minute.
    arguments += ["--worker-fork-timeout", "100"]
    arguments += ["--worker-shutdown-timeout", "8000", "--skip-logging"]
    raise SystemExit(main(make_argument_parser().parse_args(arguments)))  # type: ignore[no-untyped-call]
