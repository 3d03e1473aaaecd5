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
from signalhub.cli.first import OwnerAccess, bootstrap_account
from signalhub.cli.home import LocalState, RunningService
from signalhub.cli.needs import require_broker
from signalhub.cli.office import open_services
from signalhub.cli.output import print_note
from signalhub.cli.readiness import ReadinessProbe
from signalhub.cli.schema import upgrade_schema
from signalhub.cli.welcome import build_welcome, print_welcome
from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.group import ChildSpec
from signalhub.embedded.ports import require_free_port
from signalhub.embedded.supervisor import ServerUrls, Supervisor
from signalhub.services.vault import EncryptionError, generate_encryption_key
from signalhub.settings import ENV_PREFIX, Secret, Settings

_DATABASE_TIMEOUT_S = 30.0


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
    found = _reduce_logging_on_terminal(require_broker(settings.from_env(os.environ)))
    log.configure(found.log_level, found.log_format)
    try:
        _run_supervisor(replace(found, data_dir=found.data_dir.absolute()), as_json=as_json)
    except (EmbeddedError, EncryptionError) as error:
        raise click.ClickException(str(error)) from None


def _reduce_logging_on_terminal(found: Settings) -> Settings:
    """There each process's steps are noise; what goes wrong is not. Children are told: they may write to a pipe."""
    if not sys.stderr.isatty():
        return found
    level = "warning" if found.log_level == "info" else found.log_level
    return replace(found, log_level=level, log_format="console" if found.log_format == "auto" else found.log_format)


def _run_supervisor(found: Settings, *, as_json: bool) -> None:
    home = LocalState(found.data_dir)
    with Supervisor(found.data_dir, postgres=not found.database_url, valkey=not found.redis_url) as supervisor:
        require_free_port(found.host, found.port)
        found = replace(found, encryption_keys=_load_encryption_keys(found, home))
        print_note("Starting …")
        found = _with_server_urls(found, supervisor.start_servers())
        try:
            entry = asyncio.run(_migrate_and_bootstrap(found, home))
            home.save_running_service(
                RunningService(os.getpid(), _local_url(found), str(found.database_url), str(found.redis_url))
            )
            supervisor.run(
                _build_children(found),
                ReadinessProbe(_local_url(found), lambda: _on_ready(found, home, entry, as_json)),
            )
        finally:
            home.delete_running_service()


def _load_encryption_keys(found: Settings, local_state: LocalState) -> Secret:
    keys = found.encryption_keys or local_state.read_encryption_keys()
    if keys:
        return keys
    if (local_state.data_dir / "postgres").exists():
        raise click.ClickException(
            f"{local_state.files['encryption.key']} is missing, and {local_state.data_dir} holds secrets sealed with it: "
            "put it back, or set SIGNALHUB_ENCRYPTION_KEYS to what it was."
        )
    return local_state.save_encryption_key(generate_encryption_key())


def _with_server_urls(found: Settings, urls: ServerUrls) -> Settings:
    return replace(
        found,
        database_url=found.database_url or Secret(urls.database or ""),
        redis_url=found.redis_url or Secret(urls.redis or ""),
    )


async def _migrate_and_bootstrap(found: Settings, local_state: LocalState) -> OwnerAccess:
    await upgrade_schema(found.database_url, _DATABASE_TIMEOUT_S)
    async with open_services(found) as office:
        return await bootstrap_account(office, local_state)


def _on_ready(found: Settings, local_state: LocalState, access: OwnerAccess, as_json: bool) -> None:  # noqa: FBT001 - from one place, above
    print_welcome(build_welcome(found, access), as_json=as_json)
    local_state.save_credentials(replace(access.credentials, hook_path=None, is_told=True))


def _build_children(found: Settings) -> list[ChildSpec]:
    env = _filter_environment(os.environ) | settings.to_env(replace(found, url="", api_key=Secret()))
    return [ChildSpec(name, [sys.executable, "-m", "signalhub", name], env) for name in ("web", "worker")]


def _filter_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Our own variables are handed down as they were understood, never twice."""
    return {name: text for name, text in environ.items() if not name.startswith(ENV_PREFIX)}


def _local_url(found: Settings) -> str:
    """The web as this machine reaches it, whatever the outside calls it."""
    return replace(found, public_url="").base_url
