"""What `signalhub up` keeps in its data directory beside the servers' data, and how other commands find it.

    encryption.key   the Fernet key(s), made once; whoever loses it loses the brokers' secrets
    run.json         where the running `up` can be reached; gone when it stops
    local.json       the first account's API key, so that `send`, `tail` and `orders` need no setup on this machine

All three are for the owner's eyes (0600): they hold what opens everything else.


Settings that a command cannot do without, and those that only the broker can judge.
"""

import contextlib
import os
from pathlib import Path
from typing import Final, TypeVar

import click
import msgspec
from msgspec.structs import replace

from signalhub.brokers import factory
from signalhub.cli.output import exit_with_error
from signalhub.settings import Secret, Settings

DEFAULT_ACCOUNT: Final = "you"
"""The account that `up` makes, and the one that commands mean where none is named."""

OWNER_ONLY_MODE: Final = 0o600

StructT = TypeVar("StructT")


class RunningService(msgspec.Struct, frozen=True):
    """A running `up`. `url` is the web's, as this machine reaches it."""

    pid: int
    url: str
    database_url: str
    redis_url: str


class LocalCredentials(msgspec.Struct, frozen=True):
    """The first account's credentials. The hook is kept only until it `is_told`; a `kill -9` may come before that."""

    api_key: str
    hook_path: str | None
    is_told: bool


class LocalState:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.files = {name: data_dir / name for name in ("encryption.key", "run.json", "local.json")}

    def read_encryption_keys(self) -> Secret:
        """The keys kept here; empty where there are none yet."""
        with contextlib.suppress(FileNotFoundError):
            return Secret(self.files["encryption.key"].read_text(encoding="ascii").strip())
        return Secret()

    def save_encryption_key(self, key: str) -> Secret:
        self._write("encryption.key", key.encode() + b"\n")
        return Secret(key)

    def read_running_service(self) -> RunningService | None:
        """The `up` that runs here. One that was killed leaves its file behind, so its process must live."""
        found = self._read("run.json", RunningService)
        return found if found and _is_process_alive(found.pid) else None

    def save_running_service(self, service: RunningService) -> None:
        self._write("run.json", msgspec.json.encode(service))

    def delete_running_service(self) -> None:
        self.files["run.json"].unlink(missing_ok=True)

    def read_credentials(self) -> LocalCredentials | None:
        return self._read("local.json", LocalCredentials)

    def save_credentials(self, credentials: LocalCredentials) -> None:
        self._write("local.json", msgspec.json.encode(credentials))

    def _read(self, name: str, struct_type: type[StructT]) -> StructT | None:
        # Cut short or of another version is as good as not there: all of it can be made again.
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
            return msgspec.json.decode(self.files[name].read_bytes(), type=struct_type)
        return None

    def _write(self, name: str, content: bytes) -> None:
        """All or nothing, and on the disk when this returns."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.data_dir / f"{name}.new"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY_MODE), "wb") as file:
            os.fchmod(file.fileno(), OWNER_ONLY_MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.files[name])


def complete_settings(settings: Settings) -> Settings:
    """`found`, with what a running `up` knows in place of what is not set."""
    home = LocalState(settings.data_dir)
    try:
        run, local, keys = home.read_running_service(), home.read_credentials(), home.read_encryption_keys()
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be read: {error.strerror}.") from None
    return replace(
        settings,
        database_url=settings.database_url or Secret(run.database_url if run else ""),
        redis_url=settings.redis_url or Secret(run.redis_url if run else ""),
        encryption_keys=settings.encryption_keys or keys,
        url=settings.url or (run.url if run else settings.web.base_url),
        # A key kept for this machine is not for another one that SIGNALHUB_URL names.
        api_key=settings.api_key or Secret(local.api_key if local and not settings.url else ""),
    )


def _is_process_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def require_settings(settings: Settings, *names: str) -> Settings:
    """`found`, or a sentence that says what is missing and what would bring it."""
    for name in names:
        if not getattr(settings, name):
            exit_with_error(
                f"SIGNALHUB_{name.upper()} is not set, and no `signalhub up` runs on {settings.data_dir}.",
                status=2,
            )
    return settings


def require_broker(settings: Settings) -> Settings:
    """`found`, or a sentence where there is no such broker: said here, before processes die of it again and again."""
    try:
        factory.create_broker(settings)
    except (LookupError, ValueError) as error:
        exit_with_error(str(error), status=2)
    return settings
