"""Ask the web whether everything runs, from inside the supervisor's loop.

What `signalhub up` says when all of it runs: secrets once, the way in each time.

`signalhub up`: the servers, the schema, the first account, then web and worker, all under one supervisor.

The order matters. The data directory is taken first, since what a killed `up` left may still hold the port; the port
is asked for before anything is made; and the welcome waits until a signal would really go all the way.
"""

import asyncio
import http.client
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec
from msgspec.structs import replace

from signalhub import log, settings
from signalhub.cli.bootstrap import OwnerAccess, bootstrap_account
from signalhub.cli.context import open_services
from signalhub.cli.local_state import DEFAULT_ACCOUNT, LocalState, RunningService, require_broker
from signalhub.cli.output import print_json, print_line, print_note
from signalhub.cli.servers import upgrade_schema
from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.ports import require_free_port
from signalhub.embedded.supervisor import ChildSpec, ServerUrls, Supervisor
from signalhub.services.encryption import EncryptionError, generate_encryption_key
from signalhub.settings import ENV_PREFIX, Secret, Settings

# The loop that asks also tends the servers: it must not hang here.
_REQUEST_TIMEOUT_S: Final = 1.0
_POLL_INTERVAL_S: Final = 0.1
_SLOW_START_S: Final = 20.0


class _ReadinessResponse(msgspec.Struct):
    status: str
    workers: bool


class ReadinessProbe:
    """Call it until it says yes; `then` is called once, just before."""

    def __init__(self, url: str, on_ready: Callable[[], None]) -> None:
        self._address, self._on_ready = urlsplit(url), on_ready
        self._started_at = self._last_probe_at = time.monotonic()
        self._has_warned = False

    def __call__(self) -> bool:
        if time.monotonic() - self._last_probe_at < _POLL_INTERVAL_S:
            return False
        is_ready = self._is_ready()
        self._last_probe_at = time.monotonic()
        if is_ready:
            self._on_ready()
        elif not self._has_warned and self._last_probe_at - self._started_at > _SLOW_START_S:
            self._has_warned = True
            print_note(
                "This takes long. What the web and the worker say is above; SIGNALHUB_LOG_LEVEL=debug says more."
            )
        return is_ready

    def _is_ready(self) -> bool:
        line = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=_REQUEST_TIMEOUT_S)
        try:
            line.request("GET", "/health/ready")
            told = msgspec.json.decode(line.getresponse().read(), type=_ReadinessResponse)
        except (OSError, http.client.HTTPException, msgspec.MsgspecError):
            return False
        finally:
            line.close()
        return told.status == "ok" and told.workers


_EXAMPLE_SIGNAL = "BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890"


class Welcome(msgspec.Struct, frozen=True):
    """`api_key`, `hook_url` and `curl` are there the first time only."""

    url: str
    data_dir: str
    account: str
    dashboard: str
    api_key: str | None = None
    hook_url: str | None = None
    curl: str | None = None


def build_welcome(found: Settings, access: OwnerAccess) -> Welcome:
    url, local = found.web.base_url, access.credentials
    known = Welcome(url, str(found.data_dir), DEFAULT_ACCOUNT, f"{url}/login?token={access.ticket}")
    if local.is_told:
        return known
    return msgspec.structs.replace(
        known,
        api_key=local.api_key,
        hook_url=f"{url}{local.hook_path}" if local.hook_path else None,
        curl=f"curl {url}/api/v1/signals -H 'X-API-Key: {local.api_key}' -d '{_EXAMPLE_SIGNAL}'",
    )


def print_welcome(message: Welcome, *, as_json: bool) -> None:
    if as_json:
        print_json(message)
        return
    print_line(
        f"\n{click.style('SignalHub runs', bold=True, fg='green')} at {message.url}, its data in {message.data_dir}.\n"
    )
    _print_credential("Dashboard", message.dashboard, "signs you in, once and within the hour")
    if message.curl is None:
        print_line(f"  The account {message.account!r} is there already; another key for it: signalhub key create")
    else:
        _print_credential("API key", message.api_key or "", "shown this once")
        _print_credential("Hook URL", message.hook_url or "", "shown this once; for senders that cannot set headers")
        print_line(f"\nSend a signal:\n  {message.curl}")
    print_line(
        "\nOr, in a second terminal: signalhub tail, and in a third: signalhub send "
        + _EXAMPLE_SIGNAL.replace("@ ", "")
    )
    print_line("Ctrl-C stops all of it and loses nothing.\n")


def _print_credential(name: str, value: str, note: str) -> None:
    print_line(f"  {name:<10} {value}\n  {'':<10} {click.style(note, dim=True)}")


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
        require_free_port(found.web.host, found.web.port)
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
            f"{local_state.files['encryption.key']} is missing, and {local_state.data_dir} holds secrets sealed "
            "with it: put it back, or set SIGNALHUB_ENCRYPTION_KEYS to what it was."
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
    return replace(found.web, public_url="").base_url
