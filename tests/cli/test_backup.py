"""`backup` and `restore` on real databases: of a running service, of a stopped one, of other versions."""

import asyncio
import json
import shutil
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text

from db import epoch, migrate
from db.engine import create_engine
from signalhub.cli.local_state import LocalState, RunningService
from signalhub.client import Client, Event, Reset
from signalhub.embedded import client_programs
from signalhub.embedded.client_programs import ClientProgramError
from signalhub.embedded.postgres import Postgres
from signalhub.settings import Settings
from tests.cli.conftest import RunCommand
from tests.kit import database_snapshot
from tests.kit.invariants import check_invariants
from tests.kit.polling import wait_until
from tests.kit.processes import find_free_port, run_web, run_worker
from tests.kit.running_app import run_app
from tests.kit.servers import Servers
from tests.kit.setting_changes import change_settings
from tests.kit.signal_texts import BUY
from tests.kit.system_postgres import Pgbouncer, SystemPostgres

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin")
TABLES = ("accounts", "api_keys", "broker_accounts", "events", "hooks", "orders", "signals")

Rows = dict[str, list[tuple[Any, ...]]]


async def execute_sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements on a database that no service uses; return the rows of the last one."""
    engine = create_engine(url)
    rows: list[tuple[Any, ...]] = []
    async with engine.begin() as connection:
        for statement in statements:
            result = await connection.execute(text(statement))
            rows = [tuple(row) for row in result] if result.returns_rows else []
    await engine.dispose()
    return rows


async def read_tables(url: str) -> Rows:
    engine = create_engine(url)
    async with engine.connect() as connection:
        selected = {table: await connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")) for table in TABLES}  # noqa: S608 - names from here
        rows = {table: [tuple(row) for row in result] for table, result in selected.items()}
    await engine.dispose()
    return rows


async def read_epoch(url: str) -> str:
    (row,) = await execute_sql(url, "SELECT epoch FROM installation")
    return str(row[0])


async def create_orders(servers: Servers, logs: Path, count: int = 3) -> Settings:
    """Run a service for as long as it takes to accept some signals; return its settings."""
    async with run_app(await servers.create_settings(broker_profile="instant"), logs) as app:
        account = await app.create_account()
        for _ in range(count):
            await account.send_signal()
        return app.settings


def dump_schema(url: str) -> list[str]:
    """Return the SQL that creates everything in the database."""
    programs = client_programs.find_programs_for_server(15)
    dumped = client_programs.run_program([programs.pg_dump, "--schema-only", url.replace("+asyncpg", "")])
    assert dumped.returncode == 0, dumped.stderr
    return [line for line in dumped.stdout.splitlines() if not line.startswith(("\\", "--"))]


async def run(run_command: RunCommand, *words: str, **settings: str) -> Any:  # noqa: ANN401 - JSON
    done = await asyncio.to_thread(run_command, *words, "--json", **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_backup_of_a_running_service_is_consistent(
    servers: Servers, tmp_path: Path, run_command: RunCommand
) -> None:
    """It is the service at one moment, although signals and steps of orders are committed meanwhile."""
    settings = await servers.create_settings(broker_profile="instant")
    file = tmp_path / "running.dump"
    async with run_app(settings, tmp_path) as app, run_worker(settings, tmp_path / "worker.log"):
        account = await app.create_account()

        async def send_signals() -> None:
            while True:
                await asyncio.gather(*(account.send_signal() for _ in range(4)))

        sending = asyncio.create_task(send_signals())
        await account.send_signal()
        await run(run_command, "backup", str(file), database_url=settings.database_url)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    url = await servers.create_database("restored_running", is_empty=True)
    restored = await run(run_command, "restore", str(file), database_url=url)
    full = await database_snapshot.read(settings)
    snapshot = await database_snapshot.read(change_settings(settings, database_url=url))
    log, full_log = snapshot.event_logs[account.id], full.event_logs[account.id]
    assert log == full_log[: len(log)]
    assert (snapshot.heads[account.id].seq, snapshot.heads[account.id].hash) == (len(log), log[-1].hash)
    assert 0 < restored["orders"] == len({event.order_id for event in log} - {None}) == len(snapshot.orders)
    assert len(log) < len(full_log)
    assert snapshot.orphan_ids == []


async def test_restored_installation_has_equal_data_and_followers_resume(
    servers: Servers, tmp_path: Path, run_in_subprocess: RunCommand
) -> None:
    settings = await servers.create_settings(broker_profile="instant")
    file, data_dir = tmp_path / "service.dump", tmp_path / "data"
    async with run_app(settings, tmp_path) as app, run_worker(settings, tmp_path / "worker.log"):
        account = await app.create_account()
        for number in range(5):
            await account.send_signal(idempotency_key=str(number))

        async def are_orders_closed() -> bool:
            return len(await account.list_events()) == 21

        await wait_until(are_orders_closed)
    await run(run_in_subprocess, "backup", str(file), database_url=settings.database_url)
    assert file.stat().st_mode & 0o777 == 0o600
    restored = await run(
        run_in_subprocess, "restore", str(file), data_dir=str(data_dir), encryption_keys=settings.encryption_keys
    )
    with Postgres(data_dir) as postgres:
        assert await read_tables(postgres.url) == await read_tables(settings.database_url)
        assert dump_schema(postgres.url) == dump_schema(settings.database_url)
        assert (restored["accounts"], restored["orders"], restored["events"]) == (1, 5, 21)
        assert restored["epoch"] == await read_epoch(postgres.url) != await read_epoch(settings.database_url)
        changed = change_settings(settings, database_url=postgres.url, port=find_free_port())
        snapshot = await database_snapshot.read(changed)
        assert check_invariants([], snapshot, [account.id]).violations == ()
        cursor = f"{await read_epoch(settings.database_url)}-21"
        async with (
            run_web(changed, tmp_path / "web.log"),
            Client(changed.web.base_url, account.api_key) as client,
            aclosing(client.events(after=cursor)) as events,
            asyncio.timeout(20),
        ):
            reset = await anext(events)
            accepted = await client.send(BUY)
            followed = [await anext(events) for _ in range(2)]
        assert isinstance(reset, Reset)
        assert (reset.reason, reset.epoch) == ("epoch", restored["epoch"])
        assert [item.seq for item in followed if isinstance(item, Event)] == [22, 23]
        assert accepted.seq == 23


async def test_restore_replaces_orders_only_by_force(servers: Servers, tmp_path: Path, run_command: RunCommand) -> None:
    settings = await create_orders(servers, tmp_path)
    file, url = str(tmp_path / "service.dump"), settings.database_url
    await run(run_command, "backup", file, database_url=url)
    before, old_epoch = await read_tables(url), await read_epoch(url)
    await execute_sql(url, "DELETE FROM orders WHERE id = (SELECT max(id::text) FROM orders)::uuid")
    refused = await asyncio.to_thread(run_command, "restore", file, database_url=url)
    assert (refused.returncode, "add --force" in refused.stderr) == (1, True), refused.stderr
    assert len(await execute_sql(url, "SELECT 1 FROM orders")) == 2
    await run(run_command, "restore", "--force", file, database_url=url)
    assert await read_tables(url) == before
    assert await read_epoch(url) != old_epoch


async def test_restore_is_refused_while_the_service_runs(
    servers: Servers, tmp_path: Path, run_command: RunCommand
) -> None:
    settings = await create_orders(servers, tmp_path)
    file = str(tmp_path / "service.dump")
    await run(run_command, "backup", file, database_url=settings.database_url)
    async with run_web(settings, tmp_path / "web.log"):
        words = ("restore", "--force", file)
        refused = await asyncio.to_thread(run_command, *words, database_url=settings.database_url)
    assert (refused.returncode, "Stop web, worker" in refused.stderr) == (1, True), refused.stderr
    assert "signalhub (" in refused.stderr


async def test_restore_is_refused_while_up_runs(
    servers: Servers, tmp_path: Path, run_in_subprocess: RunCommand
) -> None:
    """By its file, and by the lock of its database where the file is missing."""
    settings = await create_orders(servers, tmp_path)
    file, data_dir = str(tmp_path / "service.dump"), tmp_path / "data"
    await run(run_in_subprocess, "backup", file, database_url=settings.database_url)
    with Postgres(data_dir) as postgres:
        locked = await asyncio.to_thread(run_in_subprocess, "restore", file, data_dir=str(data_dir))
        local_state = LocalState(data_dir)
        local_state.save_running_service(RunningService(postgres.pid, "http://127.0.0.1:1", postgres.url, "unix://x"))
        refused = await asyncio.to_thread(run_in_subprocess, "restore", file, data_dir=str(data_dir))
    assert (locked.returncode, "is in use by process" in locked.stderr) == (1, True), locked.stderr
    assert (refused.returncode, "stop it, restore" in refused.stderr) == (1, True), refused.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "cannot read"), (b"SELECT 1;\n" * 100, "cannot read")],
    ids=["empty", "text"],
)
def test_file_that_is_no_backup_is_refused(
    tmp_path: Path, run_in_subprocess: RunCommand, content: bytes, says: str
) -> None:
    file = tmp_path / "other.dump"
    file.write_bytes(content)
    refused = run_in_subprocess("restore", str(file), data_dir=str(tmp_path / "data"))
    assert (refused.returncode, says in refused.stderr, "Traceback" in refused.stderr) == (1, True, False)
    assert not (tmp_path / "data").exists()


async def test_incomplete_backup_changes_nothing(servers: Servers, tmp_path: Path, run_command: RunCommand) -> None:
    settings = await create_orders(servers, tmp_path, count=40)
    file = tmp_path / "service.dump"
    await run(run_command, "backup", str(file), database_url=settings.database_url)
    before = await read_tables(settings.database_url)
    file.write_bytes(file.read_bytes()[:-4_000])
    words = ("restore", "--force", str(file))
    failed = await asyncio.to_thread(run_command, *words, database_url=settings.database_url)
    assert (failed.returncode, "Traceback" in failed.stderr) == (1, False), failed.stderr
    assert "Nothing was restored" in failed.stderr
    assert await read_tables(settings.database_url) == before


async def test_tables_of_another_program_are_not_replaced(
    servers: Servers, tmp_path: Path, run_command: RunCommand
) -> None:
    settings = await create_orders(servers, tmp_path, count=1)
    file, url = str(tmp_path / "service.dump"), await servers.create_database("other_program", is_empty=True)
    await execute_sql(url, "CREATE TABLE orders (id integer)", "INSERT INTO orders VALUES (7)")
    await run(run_command, "backup", file, database_url=settings.database_url)
    failed = await asyncio.to_thread(run_command, "restore", "--force", file, database_url=url)
    assert (failed.returncode, 'relation "orders" already exists' in failed.stderr) == (1, True), failed.stderr
    assert await execute_sql(url, "SELECT id FROM orders") == [(7,)]


@pytest.mark.parametrize("is_in_file", [True, False])
async def test_schema_of_a_later_version_is_refused(
    servers: Servers,
    tmp_path: Path,
    run_command: RunCommand,
    is_in_file: bool,  # noqa: FBT001 - a parameter
) -> None:
    settings = await create_orders(servers, tmp_path, count=1)
    file, url = str(tmp_path / "service.dump"), settings.database_url
    set_later = "UPDATE alembic_version SET version_num = '9999'"
    if is_in_file:
        programs = client_programs.find_programs_for_server(15)
        await execute_sql(url, set_later)
        programs.dump(url, Path(file), tables=["alembic_version", "orders"], tables_without_rows=[])
        await execute_sql(url, "UPDATE alembic_version SET version_num = '0001'")
    else:
        await run(run_command, "backup", file, database_url=url)
        await execute_sql(url, set_later)
        refused = await asyncio.to_thread(run_command, "backup", file, database_url=url)
        assert (refused.returncode, "later version (9999)" in refused.stderr) == (1, True), refused.stderr
    refused = await asyncio.to_thread(run_command, "restore", "--force", file, database_url=url)
    assert (refused.returncode, "later version (9999)" in refused.stderr) == (1, True), refused.stderr


def _downgrade(connection: Connection) -> None:
    config = migrate.build_alembic_config()
    config.attributes["connection"] = connection
    command.downgrade(config, "0001")


async def test_backup_of_an_earlier_schema_is_migrated(
    servers: Servers, tmp_path: Path, run_command: RunCommand
) -> None:
    settings = await create_orders(servers, tmp_path)
    file, url = str(tmp_path / "service.dump"), settings.database_url
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(_downgrade)
    await engine.dispose()
    made = await run(run_command, "backup", file, database_url=url)
    await run(run_command, "restore", "--force", file, database_url=url)
    target = await servers.create_database("restored_earlier")  # with the tables of the later schema
    restored = await run(run_command, "restore", file, database_url=target)
    assert (made["revision"], restored["revision"]) == ("0001", migrate.head_revision())
    assert await execute_sql(target, "SELECT count(*) FROM shards") == [(16,)]
    assert await read_tables(target) == await read_tables(url)


async def test_stopped_installation_is_backed_up(tmp_path: Path, run_in_subprocess: RunCommand) -> None:
    server = Postgres(tmp_path / "data")
    with server:
        engine = create_engine(server.url)
        await migrate.upgrade(engine)
        async with engine.begin() as connection:
            await epoch.get_or_create(connection)
        await engine.dispose()
    made = await run(run_in_subprocess, "backup", str(tmp_path / "x.dump"), data_dir=str(tmp_path / "data"))
    assert made["revision"] == migrate.head_revision()
    nowhere = await asyncio.to_thread(run_in_subprocess, "backup", data_dir=str(tmp_path / "nothing"))
    assert (nowhere.returncode, "SIGNALHUB_DATABASE_URL is not set" in nowhere.stderr) == (2, True)


@pytest.mark.skipif(not POSTGRES_15.exists(), reason="PostgreSQL 15 is not installed")
async def test_earlier_server_is_backed_up_and_restored(tmp_path: Path, run_command: RunCommand) -> None:
    """By the programs of the wheel, whose pg_restore sets a parameter that this server does not know."""
    with SystemPostgres(POSTGRES_15, settings={"fsync": "off"}) as server:
        engine = create_engine(server.url)
        await migrate.upgrade(engine)
        async with engine.begin() as connection:
            await epoch.get_or_create(connection)
        await engine.dispose()
        await run(run_command, "backup", str(tmp_path / "x.dump"), database_url=server.url)
        restored = await run(run_command, "restore", str(tmp_path / "x.dump"), database_url=server.url)
    assert restored["revision"] == migrate.head_revision()


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
async def test_pooler_is_refused(servers: Servers, tmp_path: Path, run_command: RunCommand) -> None:
    """pg_dump would leave an empty search path in sessions that the service gets next."""
    with Pgbouncer(tmp_path / "pgbouncer", Path(PGBOUNCER or ""), servers.postgres) as pgbouncer:
        url = pgbouncer.build_url("signalhub")
        done = await asyncio.to_thread(run_command, "backup", str(tmp_path / "x.dump"), database_url=url)
    assert (done.returncode, "connection pooler" in done.stderr) == (1, True), done.stderr


def test_server_newer_than_every_pg_dump_is_reported() -> None:
    with pytest.raises(
        ClientProgramError, match=r"server is PostgreSQL 99, and pg_dump \d+ cannot read it: put pg_dump"
    ):
        client_programs.find_programs_for_server(99)


def test_missing_programs_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("signalhub.embedded.binaries.find_postgres_program", lambda *_: "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClientProgramError, match=r"There is no pg_dump here: pip install 'signalhub\[embedded\]'"):
        client_programs.find_programs_for_server(15)
    with pytest.raises(ClientProgramError, match="There is no pg_restore here"):
        client_programs.find_programs_for_archive(tmp_path)


@pytest.mark.parametrize(
    ("url", "connection_url", "password"),
    [
        ("postgresql+asyncpg://u:p%40x@h:1/d", "postgresql://u@h:1/d", "p@x"),
        ("postgresql:///d?host=/run&password=y", "postgresql:///d?host=%2Frun", "y"),
        ("postgres://h/d?ssl=require", "postgresql://h/d?sslmode=require", None),
    ],
)
def test_password_is_no_argument(url: str, connection_url: str, password: str | None) -> None:
    given, environment = client_programs.build_connection(url)
    assert (given, environment.get("PGPASSWORD")) == (connection_url, password)


async def test_directory_that_does_not_exist_is_reported(
    servers: Servers, run_command: RunCommand, tmp_path: Path
) -> None:
    file, url = str(tmp_path / "nowhere" / "x.dump"), await servers.create_database("unwritten")
    done = await asyncio.to_thread(run_command, "backup", file, database_url=url)
    assert (done.returncode, "cannot be written: No such file or directory" in done.stderr) == (1, True), done.stderr
