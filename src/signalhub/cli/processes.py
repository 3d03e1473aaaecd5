"""The long-running processes: `web`, `worker`; and `migrate`, which they wait for."""

import asyncio
import os

import click

from signalhub import log, settings
from signalhub.cli.output import fail, out
from signalhub.settings import Settings


def configured() -> Settings:
    """The settings, with the two addresses that these commands cannot do without."""
    found = settings.from_env(os.environ)
    for name in ("database_url", "redis_url"):
        if not getattr(found, name):
            fail(f"SIGNALHUB_{name.upper()} is not set. `signalhub up` brings servers of its own.", status=2)
    log.configure(found.log_level, found.log_format)
    return found


@click.command()
def web() -> None:
    """Run the web processes (HTTP, SSE, WebSocket)."""
    from granian import Granian  # noqa: PLC0415 - a web server is imported by those who serve
    from granian.constants import Interfaces, Loops  # noqa: PLC0415

    found = configured()
    Granian(
        "signalhub.app:serve",
        factory=True,
        address=found.host,
        port=found.port,
        interface=Interfaces.ASGI,
        workers=found.web_processes,
        loop=Loops.uvloop,
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
    """Run the worker processes (Dramatiq actors and the clock)."""
    found = configured()
    # Twice the threads would leave the consumer asleep half the time; many more would starve other processes.
    os.environ.setdefault("dramatiq_queue_prefetch", str(found.worker_threads * 4))
    from dramatiq.cli import main, make_argument_parser  # noqa: PLC0415 - reads the environment when imported

    arguments = ["actors.boot:boot", "-p", str(found.worker_processes), "-t", str(found.worker_threads)]
    arguments += ["--worker-shutdown-timeout", "8000", "--skip-logging"]
    raise SystemExit(main(make_argument_parser().parse_args(arguments)))  # type: ignore[no-untyped-call]


@click.command()
@click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the database.")
def migrate(wait: float) -> None:
    """Bring the database's schema up to date."""
    revision = asyncio.run(_migrate(configured(), wait))
    out.print(f"The schema is at revision {revision}.")


async def _migrate(found: Settings, wait_s: float) -> str:
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - as above

    from db.engine import create_engine  # noqa: PLC0415
    from db.migrate import upgrade  # noqa: PLC0415

    engine = create_engine(found.database_url)
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        try:
            return await upgrade(engine)
        except (OSError, DBAPIError, TimeoutError) as error:
            if asyncio.get_running_loop().time() > deadline:
                fail(f"The database cannot be reached or refuses: {error}")
            await asyncio.sleep(0.5)
