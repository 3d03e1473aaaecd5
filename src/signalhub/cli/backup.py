"""`signalhub backup` and `restore`: the whole database as one file, and back.

A backup has no epoch, so that every restore begins a new one, also one that is made with pg_restore by hand.
"""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from db import epoch, migrate
from db.engine import create_engine, is_pooled
from db.tables import AccountRow, InstallationRow
from signalhub.cli.local_state import LocalState, complete_settings
from signalhub.cli.output import format_command, json_option, print_json, print_line, print_note
from signalhub.cli.servers import upgrade_schema
from signalhub.cli.services import run_with_services, start_stopped_database
from signalhub.container import Services
from signalhub.embedded import client_programs
from signalhub.embedded.client_programs import ClientProgramError, ClientPrograms
from signalhub.services.encryption import Encryption, EncryptionError
from signalhub.settings import Settings, from_env

_REVISION_TABLE: Final = "alembic_version"
_EPOCH_TABLE: Final = InstallationRow.__tablename__
_TABLES: Final = (*AccountRow.metadata.tables, _REVISION_TABLE)

_DISCONNECT_TIMEOUT_S: Final = 3.0
_POLL_INTERVAL_S: Final = 0.1

_SELECT_OTHER_PROGRAMS = text("""
    SELECT format('%s (%s)', coalesce(nullif(application_name, ''), 'unnamed'), count(*)) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    GROUP BY application_name ORDER BY application_name
""")
_SELECT_COUNTS = text("""
    SELECT (SELECT count(*) FROM accounts) AS accounts, (SELECT count(*) FROM orders) AS orders,
        (SELECT count(*) FROM events) AS events
""")


class Backup(msgspec.Struct, frozen=True):
    """A backup that was made. `revision` is that of its schema."""

    file: str
    bytes: int
    revision: str


class Restored(msgspec.Struct, frozen=True):
    """What the database holds after a restore."""

    accounts: int
    orders: int
    events: int
    revision: str
    epoch: str


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@json_option
def backup(file: Path | None, *, as_json: bool) -> None:
    """Write the database to FILE, as it is at one moment, also while the service runs.

    The default is signalhub-<time>.dump. An existing FILE is replaced once the new one is complete. It has the format
    of pg_dump, and is readable by its owner only. The keys that encrypt brokers' secrets are not in it.
    """
    file = file or Path(f"signalhub-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump")
    with start_stopped_database(complete_settings(from_env(os.environ))) as settings:
        revision = run_with_services(settings, lambda services: write_backup(services, file), required=["database_url"])
    made = Backup(str(file), file.stat().st_size, revision)
    if as_json:
        print_json(made)
        return
    print_line(f"{made.file}: {made.bytes:,} bytes, the schema at revision {made.revision}.")
    print_note("Keep the encryption keys as well, and apart from it: encryption.key, or SIGNALHUB_ENCRYPTION_KEYS.")


async def write_backup(services: Services, file: Path) -> str:
    """Write the backup and return the revision of its schema."""
    async with services.engine.connect() as connection:
        server_version = await require_direct_connection(connection)
    revision = await require_known_revision(services)
    if revision is None:
        raise click.ClickException(f"The database is empty: {format_command('migrate')}.")
    try:
        programs = client_programs.find_programs_for_server(server_version)
        url = services.settings.database_url
        await asyncio.to_thread(programs.dump, url, file, tables=_TABLES, tables_without_rows=[_EPOCH_TABLE])
    except ClientProgramError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from None
    return revision


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the orders that the database has.")
@json_option
def restore(file: Path, *, force: bool, as_json: bool) -> None:
    """Replace the database by the backup FILE, bring its schema up to date, and start a new log epoch.

    Stop the service first. Where SIGNALHUB_DATABASE_URL is not set, the embedded database in SIGNALHUB_DATA_DIR is
    replaced, or created. A restore that fails changes nothing.
    """
    settings = require_stopped(from_env(os.environ))
    try:
        programs = client_programs.find_programs_for_archive(file)
        require_backup(programs, file)
        with start_stopped_database(settings, creates=True) as started:
            restored = run_with_services(
                started,
                lambda services: restore_backup(services, programs, file, is_forced=force),
                required=["database_url"],
            )
            can_decrypt = run_with_services(started, can_decrypt_secrets, required=["database_url"])
    except ClientProgramError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        print_json(restored)
    else:
        print_line(
            f"Restored accounts: {restored.accounts:,}, orders: {restored.orders:,}, events: {restored.events:,}. "
            f"The schema is at revision {restored.revision}, the epoch is now {restored.epoch}."
        )
    if not can_decrypt:
        keys = "SIGNALHUB_ENCRYPTION_KEYS" if settings.database_url else f"{settings.data_dir}/encryption.key"
        print_note(f"Brokers' secrets cannot be decrypted until {keys} holds the key that encrypted them.")


def require_stopped(settings: Settings) -> Settings:
    """Return the settings with the encryption keys of the data directory. Raises ClickException while `up` runs."""
    local_state = LocalState(settings.data_dir)
    running = local_state.read_running_service()
    if running is not None and not settings.database_url:
        raise click.ClickException(
            f"`signalhub up` runs on {settings.data_dir} (process {running.pid}): stop it, restore, and start it again."
        )
    return replace(settings, encryption_keys=settings.encryption_keys or local_state.read_encryption_keys())


def require_backup(programs: ClientPrograms, file: Path) -> None:
    """Raise ClickException for a file that is not a backup of SignalHub, or one of a later version."""
    revision = programs.read_value(file, _REVISION_TABLE)
    if revision is None:
        raise click.ClickException(f"{file} is not a backup of SignalHub: it has no table {_REVISION_TABLE}.")
    if not migrate.is_known(revision):
        raise click.ClickException(f"{file} has the schema of a later version ({revision}): restore it with that one.")


async def restore_backup(services: Services, programs: ClientPrograms, file: Path, *, is_forced: bool) -> Restored:
    url = services.settings.database_url
    async with services.engine.connect() as connection:
        server_version = await require_direct_connection(connection)
        await require_no_other_programs(connection)
    has_schema = await require_known_revision(services) is not None
    if has_schema and not is_forced:
        await require_no_orders(services)
    await asyncio.to_thread(
        programs.restore,
        url,
        file,
        server_version=server_version,
        before=f"DROP TABLE IF EXISTS {', '.join(_TABLES)};" if has_schema else "",
        after=f"TRUNCATE {_EPOCH_TABLE};",
    )
    revision = await upgrade_schema(url, timeout_s=0)
    engine = create_engine(url, statement_timeout_s=None)  # counting may take longer than a statement of the service
    async with engine.begin() as connection:
        counts = (await connection.execute(_SELECT_COUNTS)).one()
        renewed = await epoch.get_or_create(connection, renew=True)
    await engine.dispose()
    return Restored(counts.accounts, counts.orders, counts.events, revision, renewed)


async def require_direct_connection(connection: AsyncConnection) -> int:
    """Return the major version of the server. Raises ClickException where the connection leads to a pooler.

    The programs change settings of their session, which a pooler would then give to the service.
    """
    raw_connection = await connection.get_raw_connection()
    if await is_pooled(raw_connection.driver_connection):
        raise click.ClickException(
            "SIGNALHUB_DATABASE_URL leads to a connection pooler: set it to the server itself for this command."
        )
    version = (await connection.execute(text("SHOW server_version_num"))).scalar_one()
    return int(version) // 10_000


async def require_no_other_programs(connection: AsyncConnection) -> None:
    deadline = asyncio.get_running_loop().time() + _DISCONNECT_TIMEOUT_S
    while others := (await connection.execute(_SELECT_OTHER_PROGRAMS)).scalars().all():
        if asyncio.get_running_loop().time() > deadline:
            raise click.ClickException(
                f"Programs are connected to the database: {', '.join(others)}. Stop web, worker and all others first."
            )
        await connection.rollback()  # or the view would not change
        await asyncio.sleep(_POLL_INTERVAL_S)


async def require_known_revision(services: Services) -> str | None:
    """Return the revision of the database, None where it is empty. Raises ClickException for one of a later version."""
    revision = await migrate.get_revision(services.engine)
    if revision is not None and not migrate.is_known(revision):
        raise click.ClickException(f"The database has the schema of a later version ({revision}): use that one.")
    return revision


async def require_no_orders(services: Services) -> None:
    async with services.engine.connect() as connection:
        has_orders = (await connection.execute(text("SELECT EXISTS (SELECT FROM orders)"))).scalar_one()
    if has_orders:
        backup_command = format_command("backup")
        raise click.ClickException(
            f"The database has orders, which a restore would replace: back them up with `{backup_command}`, then add "
            "--force."
        )


async def can_decrypt_secrets(services: Services) -> bool:
    async with services.engine.connect() as connection:
        secret = (await connection.execute(text("SELECT secret FROM broker_accounts LIMIT 1"))).scalar_one_or_none()
    try:
        return secret is None or bool(Encryption(services.settings.encryption_keys).rotate(secret))
    except EncryptionError:
        return False
