"""`signalhub up`: the servers, the schema, the first account, then web and worker, all under one supervisor.

The order matters. The data directory is taken first, since what a killed `up` left may still hold the port; the port
is asked for before anything is made; and the welcome waits until a signal would really go all the way.
"""

import asyncio
import os
import sys
from collections.abc import Mapping

import click
from msgspec.structs import replace

from signalhub import log, settings
from signalhub.cli.first import Entry, enter
from signalhub.cli.home import Home, Run
from signalhub.cli.needs import require_broker
from signalhub.cli.office import opened
from signalhub.cli.output import remark
from signalhub.cli.readiness import Readiness
from signalhub.cli.schema import brought_up_to_date
from signalhub.cli.welcome import show, welcome
from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.group import Child
from signalhub.embedded.ports import require_free_port
from signalhub.embedded.supervisor import Supervisor, Urls
from signalhub.services.vault import VaultError, new_key
from signalhub.settings import PREFIX, Secret, Settings

_DATABASE_PATIENCE_S = 30.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON when everything runs.")
def up(*, as_json: bool) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, web and worker.

    Needs nothing else installed. Data is kept in SIGNALHUB_DATA_DIR (.signalhub); the web listens on SIGNALHUB_HOST
    and SIGNALHUB_PORT (127.0.0.1:8000). The first time it makes an account and prints its API key and hook URL, once;
    each time it prints a link that signs in to the dashboard. Other commands on this machine find it by its data
    directory.

    Where SIGNALHUB_DATABASE_URL or SIGNALHUB_REDIS_URL is set, that server is used instead of an embedded one.
    Ctrl-C stops everything. However it ends, the next start goes on where it was.
    """
    found = _quiet_on_terminal(require_broker(settings.from_env(os.environ)))
    log.configure(found.log_level, found.log_format)
    try:
        _run(replace(found, data_dir=found.data_dir.absolute()), as_json=as_json)
    except (EmbeddedError, VaultError) as error:
        raise click.ClickException(str(error)) from None


def _quiet_on_terminal(found: Settings) -> Settings:
    """There each process's steps are noise; what goes wrong is not. Children are told: they may write to a pipe."""
    if not sys.stderr.isatty():
        return found
    level = "warning" if found.log_level == "info" else found.log_level
    return replace(found, log_level=level, log_format="console" if found.log_format == "auto" else found.log_format)


def _run(found: Settings, *, as_json: bool) -> None:
    home = Home(found.data_dir)
    with Supervisor(found.data_dir, postgres=not found.database_url, valkey=not found.redis_url) as supervisor:
        require_free_port(found.host, found.port)
        found = replace(found, encryption_keys=_encryption_keys(found, home))
        remark("Starting …")
        found = _with_servers(found, supervisor.start_servers())
        try:
            entry = asyncio.run(_prepare(found, home))
            home.keep_run(Run(os.getpid(), _own_url(found), str(found.database_url), str(found.redis_url)))
            supervisor.run(_children(found), Readiness(_own_url(found), lambda: _tell(found, home, entry, as_json)))
        finally:
            home.forget_run()


def _encryption_keys(found: Settings, home: Home) -> Secret:
    keys = found.encryption_keys or home.encryption_keys()
    if keys:
        return keys
    if (home.data_dir / "postgres").exists():
        raise click.ClickException(
            f"{home.files['encryption.key']} is missing, and {home.data_dir} holds secrets sealed with it: "
            "put it back, or set SIGNALHUB_ENCRYPTION_KEYS to what it was."
        )
    return home.keep_encryption_key(new_key())


def _with_servers(found: Settings, urls: Urls) -> Settings:
    return replace(
        found,
        database_url=found.database_url or Secret(urls.database or ""),
        redis_url=found.redis_url or Secret(urls.redis or ""),
    )


async def _prepare(found: Settings, home: Home) -> Entry:
    await brought_up_to_date(found.database_url, _DATABASE_PATIENCE_S)
    async with opened(found) as office:
        return await enter(office, home)


def _tell(found: Settings, home: Home, entry: Entry, as_json: bool) -> None:  # noqa: FBT001 - from one place, above
    show(welcome(found, entry), as_json=as_json)
    home.keep_local(replace(entry.local, hook_path=None, is_told=True))


def _children(found: Settings) -> list[Child]:
    env = _inherited(os.environ) | settings.to_env(replace(found, url="", api_key=Secret()))
    return [Child(name, [sys.executable, "-m", "signalhub", name], env) for name in ("web", "worker")]


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Our own variables are handed down as they were understood, never twice."""
    return {name: text for name, text in environ.items() if not name.startswith(PREFIX)}


def _own_url(found: Settings) -> str:
    """The web as this machine reaches it, whatever the outside calls it."""
    return replace(found, public_url="").base_url
