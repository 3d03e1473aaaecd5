"""`signalhub up`: servers, schema, first account, then web and worker, all under one supervisor.

The order matters. The data directory is locked first, since orphans of a killed `up` may hold the port. The port is
checked before anything is created. The welcome is printed when a signal would pass through web and worker.
"""

import asyncio
import http.client
import os
import sys
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec
from msgspec.structs import replace

from signalhub import logging_setup
from signalhub.cli.bootstrap import OwnerAccess, bootstrap_account
from signalhub.cli.local_state import DEFAULT_ACCOUNT, LocalState, RunningService
from signalhub.cli.output import format_command, get_color, print_json, print_line, print_note
from signalhub.cli.servers import require_broker, upgrade_schema
from signalhub.cli.services import open_services
from signalhub.embedded import EmbeddedError
from signalhub.embedded.supervisor import ChildSpec, Supervisor
from signalhub.embedded.web_port import LISTENER_VARIABLE, open_listener
from signalhub.services.encryption import EncryptionError, generate_encryption_key
from signalhub.settings import ENV_PREFIX, Secret, Settings, from_env, to_env
from signalhub.shared_metrics import share_directory

# The loop that polls also restarts the servers, so a request must not block it for long.
_REQUEST_TIMEOUT_S: Final = 0.5
_POLL_INTERVAL_S: Final = 0.1
_SLOW_START_S: Final = 20.0
_DATABASE_TIMEOUT_S: Final = 30.0
_EXAMPLE_SIGNAL: Final = "BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON when everything runs.")
def up(*, as_json: bool) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, web and worker.

    Needs nothing else installed. Data is kept in SIGNALHUB_DATA_DIR (.signalhub); the web listens on SIGNALHUB_HOST
    and SIGNALHUB_PORT (127.0.0.1:8000). The first start creates an account and prints its API key and hook URL, once;
    each start prints a link that signs in to the dashboard. Other commands on this machine find the service through
    the data directory.

    Where SIGNALHUB_DATABASE_URL or SIGNALHUB_REDIS_URL is set, that server is used instead of an embedded one.
    Ctrl-C stops everything. After a crash too, the next start resumes where the last one ended.
    """
    settings = _reduce_logging_on_terminal(require_broker(from_env(os.environ)))
    logging_setup.configure(settings.log_level, settings.log_format, color=get_color())
    try:
        _run_supervisor(replace(settings, data_dir=settings.data_dir.absolute()), as_json=as_json)
    except (EmbeddedError, EncryptionError) as error:
        raise click.ClickException(str(error)) from None


def _reduce_logging_on_terminal(settings: Settings) -> Settings:
    """Log only warnings on a terminal. The format is passed on, since the children may write to a pipe."""
    if not sys.stderr.isatty():
        return settings
    level = "warning" if settings.log_level == "info" else settings.log_level
    return replace(
        settings, log_level=level, log_format="console" if settings.log_format == "auto" else settings.log_format
    )


def _run_supervisor(settings: Settings, *, as_json: bool) -> None:
    local_state = LocalState(settings.data_dir)
    with Supervisor(settings.data_dir, postgres=not settings.database_url, valkey=not settings.redis_url) as supervisor:
        listener = open_listener(settings.web.host, settings.web.port)
        settings = replace(settings, encryption_keys=_load_encryption_keys(settings, local_state))
        print_note("Starting …")
        urls = supervisor.start_servers()
        settings = replace(
            settings,
            database_url=settings.database_url or Secret(urls.database or ""),
            redis_url=settings.redis_url or Secret(urls.redis or ""),
        )
        # The address on this machine, whatever public URL a proxy has.
        local_url = replace(settings.web, public_url="").base_url
        try:
            access = asyncio.run(_migrate_and_bootstrap(settings, local_state))
            local_state.save_running_service(
                RunningService(os.getpid(), local_url, str(settings.database_url), str(settings.redis_url))
            )
            supervisor.run(
                _build_children(settings, listener.fileno()),
                ReadinessProbe(local_url, lambda: _on_ready(settings, local_state, access, as_json=as_json)),
            )
        finally:
            local_state.delete_running_service()
            listener.close()


def _load_encryption_keys(settings: Settings, local_state: LocalState) -> Secret:
    keys = settings.encryption_keys or local_state.read_encryption_keys()
    if keys:
        return keys
    if (local_state.data_dir / "postgres").exists():
        raise click.ClickException(
            f"{local_state.files['encryption.key']} is missing, and {local_state.data_dir} holds secrets "
            "encrypted with it: restore it, or set SIGNALHUB_ENCRYPTION_KEYS to its content."
        )
    return local_state.save_encryption_key(generate_encryption_key())


async def _migrate_and_bootstrap(settings: Settings, local_state: LocalState) -> OwnerAccess:
    await upgrade_schema(settings.database_url, _DATABASE_TIMEOUT_S)
    async with open_services(settings) as services:
        return await bootstrap_account(services, local_state)


def _on_ready(settings: Settings, local_state: LocalState, access: OwnerAccess, *, as_json: bool) -> None:
    print_welcome(build_welcome(settings, access), as_json=as_json)
    local_state.save_credentials(replace(access.credentials, hook_path=None, is_told=True))


def _build_children(settings: Settings, listener: int) -> list[ChildSpec]:
    share_directory(settings.data_dir / "metrics")
    # Our own variables are passed on as they were parsed, never as they were written.
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)}
    env = inherited | to_env(replace(settings, url="", api_key=Secret()))
    color = {True: ["--color=always"], False: ["--color=never"], None: []}[get_color()]
    command = [sys.executable, "-m", "signalhub", *color]
    return [
        ChildSpec("web", [*command, "web"], {**env, LISTENER_VARIABLE: str(listener)}, descriptors=(listener,)),
        ChildSpec("worker", [*command, "worker"], env),
    ]


class _ReadinessResponse(msgspec.Struct):
    status: str
    workers: bool


class ReadinessProbe:
    """Poll `/health/ready` until web and worker are ready; `on_ready` runs before the call that returns True."""

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
            print_note("Slower than usual. The log of web and worker is above; SIGNALHUB_LOG_LEVEL=debug shows more.")
        return is_ready

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(
            self._address.hostname or "", self._address.port, timeout=_REQUEST_TIMEOUT_S
        )
        try:
            connection.request("GET", "/health/ready")
            readiness = msgspec.json.decode(connection.getresponse().read(), type=_ReadinessResponse)
        except (OSError, http.client.HTTPException, msgspec.MsgspecError):
            return False
        finally:
            connection.close()
        return readiness.status == "ok" and readiness.workers


class Welcome(msgspec.Struct, frozen=True):
    """Output of a start. `api_key`, `hook_url` and `curl` are set the first time only."""

    url: str
    data_dir: str
    account: str
    dashboard: str
    api_key: str | None = None
    hook_url: str | None = None
    curl: str | None = None


def build_welcome(settings: Settings, access: OwnerAccess) -> Welcome:
    url, local = settings.web.base_url, access.credentials
    welcome = Welcome(url, str(settings.data_dir), DEFAULT_ACCOUNT, f"{url}/login?token={access.ticket}")
    if local.is_told:
        return welcome
    return replace(
        welcome,
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
    _print_credential("Dashboard", message.dashboard, "signs you in, once, within one hour")
    if message.curl is None:
        command = format_command("key create")
        print_line(f"  The account {message.account!r} exists already; create another key with: {command}")
    else:
        _print_credential("API key", message.api_key or "", "shown this once")
        _print_credential("Hook URL", message.hook_url or "", "shown this once; for senders that cannot set headers")
        print_line(f"\nSend a signal:\n  {message.curl}")
    send = format_command("send " + _EXAMPLE_SIGNAL.replace("@ ", ""))
    print_line(f"\nIn a second terminal, in this directory:\n  {format_command('tail')}\nand in a third:\n  {send}\n")
    print_line("Ctrl-C stops everything; no data is lost.\n")


def _print_credential(name: str, value: str, note: str) -> None:
    print_line(f"  {name:<10} {value}\n  {'':<10} {click.style(note, dim=True)}")
