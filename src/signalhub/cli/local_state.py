"""Files of `signalhub up` in its data directory, through which the other commands on this machine find it.

    encryption.key   the Fernet keys, created once; without them the brokers' secrets are lost
    run.json         address of the running `up`; removed when it stops
    local.json       the first account's API key, so that `send`, `tail` and `orders` need no setup

All three are readable by their owner alone (0600), since they give access to everything else.
"""

import contextlib
import os
from pathlib import Path
from typing import Final, TypeVar

import click
import msgspec
from msgspec.structs import replace

from signalhub.cli.output import exit_with_error
from signalhub.process_upkeep import is_process_running
from signalhub.settings import Secret, Settings

DEFAULT_ACCOUNT: Final = "you"
"""The account that `up` creates, and the default of the commands."""

OWNER_ONLY_MODE: Final = 0o600

StructT = TypeVar("StructT")


class RunningService(msgspec.Struct, frozen=True):
    """A running `up`; `url` is the web's address on this machine."""

    pid: int
    url: str
    database_url: str
    redis_url: str


class LocalCredentials(msgspec.Struct, frozen=True):
    """Credentials of the first account. `is_told`: they were shown; the hook is kept only until then."""

    api_key: str
    hook_path: str | None
    is_told: bool


class LocalState:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.files = {name: data_dir / name for name in ("encryption.key", "run.json", "local.json")}

    def read_encryption_keys(self) -> Secret:
        """Return the saved keys; empty where there are none yet."""
        with contextlib.suppress(FileNotFoundError):
            return Secret(self.files["encryption.key"].read_text(encoding="ascii").strip())
        return Secret()

    def save_encryption_key(self, key: str) -> Secret:
        self._write("encryption.key", key.encode() + b"\n")
        return Secret(key)

    def read_running_service(self) -> RunningService | None:
        """Return the running `up`. One that was killed leaves its file, so its process must exist."""
        service = self._read("run.json", RunningService)
        return service if service and is_process_running(service.pid) else None

    def save_running_service(self, service: RunningService) -> None:
        self._write("run.json", msgspec.json.encode(service))

    def delete_running_service(self) -> None:
        self.files["run.json"].unlink(missing_ok=True)

    def read_credentials(self) -> LocalCredentials | None:
        return self._read("local.json", LocalCredentials)

    def save_credentials(self, credentials: LocalCredentials) -> None:
        self._write("local.json", msgspec.json.encode(credentials))

    def _read(self, name: str, struct_type: type[StructT]) -> StructT | None:
        # A truncated file, or one of another version, counts as missing: its content can be created again.
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
            return msgspec.json.decode(self.files[name].read_bytes(), type=struct_type)
        return None

    def _write(self, name: str, content: bytes) -> None:
        """Replace the file atomically and durably."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        new_file = self.data_dir / f"{name}.new"
        with os.fdopen(os.open(new_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY_MODE), "wb") as file:
            new_file.chmod(OWNER_ONLY_MODE)  # one that a killed command has left may have another
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new_file.replace(self.files[name])


def complete_settings(settings: Settings) -> Settings:
    """Return the settings, unset ones taken from a running `up` and its local state."""
    local_state = LocalState(settings.data_dir)
    try:
        run, local = local_state.read_running_service(), local_state.read_credentials()
        keys = local_state.read_encryption_keys()
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be read: {error.strerror}.") from None
    return replace(
        settings,
        database_url=settings.database_url or Secret(run.database_url if run else ""),
        redis_url=settings.redis_url or Secret(run.redis_url if run else ""),
        encryption_keys=settings.encryption_keys or keys,
        url=settings.url or (run.url if run else settings.web.base_url),
        # The key of this machine must not be sent to another one that SIGNALHUB_URL names.
        api_key=settings.api_key or Secret(local.api_key if local and not settings.url else ""),
    )


def require_settings(settings: Settings, *names: str) -> Settings:
    """Return the settings. Exits with status 2 and a sentence where one of `names` is not set."""
    for name in names:
        if not getattr(settings, name):
            exit_with_error(
                f"SIGNALHUB_{name.upper()} is not set, and no `signalhub up` runs on {settings.data_dir}.",
                status=2,
            )
    return settings
