"""Commands on a running service, and their errors without one."""

import asyncio
import json
import os
import stat
import time
from pathlib import Path

import pytest

from signalhub.cli.local_state import LocalCredentials, LocalState, RunningService, complete_settings
from signalhub.services.encryption import Encryption
from signalhub.settings import Secret, Settings
from tests.cli.conftest import RunCommand
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp
from tests.kit.signal_texts import BUY, STOP_ON_WRONG_SIDE

URLS = {"database_url": "postgresql+asyncpg://nowhere/x", "redis_url": "redis://nowhere", "encryption_keys": "x"}


def test_sent_signal_is_listed(run_on_service: RunCommand, account: AccountClient) -> None:
    sent = run_on_service("send", "--json", "--id", "a", *BUY.split(), api_key=account.api_key)
    listed = run_on_service("orders", "--json", api_key=account.api_key)
    assert (sent.returncode, listed.returncode) == (0, 0)
    assert json.loads(listed.stdout)["id"] == json.loads(sent.stdout)["order_id"]


def test_refused_signal_is_shown_with_a_caret(run_on_service: RunCommand, account: AccountClient) -> None:
    done = run_on_service("send", "-", stdin=STOP_ON_WRONG_SIDE, api_key=account.api_key)
    assert done.returncode == 1
    assert "   2 | SL 1.0890\n          ^^^^^^\n" in done.stdout
    assert "Traceback" not in done.stderr


async def test_tail_prints_the_bytes_of_the_log(
    run_on_service: RunCommand, app: RunningApp, account: AccountClient
) -> None:
    await account.send_signal()
    stored = await app.execute_sql(
        "SELECT body FROM events WHERE account_id = CAST(:id AS uuid) ORDER BY seq", id=account.id
    )
    words = ("tail", "--after", "0", "-n", "3", "--json")
    done = await asyncio.to_thread(run_on_service, *words, api_key=account.api_key)
    assert done.stdout.splitlines() == [row[0] for row in stored]


def test_api_key_is_created_rotated_and_revoked(run_on_service: RunCommand) -> None:
    name = f"keeper{time.time_ns()}"
    first = json.loads(run_on_service("account", "create", name, "--json").stdout)["api_key"]
    made = json.loads(run_on_service("key", "create", "--account", name, "--scope", "orders:read", "--json").stdout)
    rotated = json.loads(run_on_service("keys", "rotate", made["id"], "--account", name, "--json").stdout)
    assert run_on_service("orders", api_key=rotated["api_key"]).returncode == 0
    assert run_on_service("key", "revoke", rotated["id"], "--account", name).returncode == 0
    listed = json.loads(run_on_service("key", "list", "--account", name, "--json").stdout)
    assert [key["revoked_at"] is not None for key in listed] == [False, False, True]
    assert not any(key in json.dumps(listed) for key in (first, made["api_key"]))


def test_hook_is_rotated(run_on_service: RunCommand) -> None:
    name = f"keeper{time.time_ns()}"
    run_on_service("account", "create", name)
    made = json.loads(run_on_service("hook", "create", "--signed", "--account", name, "--json").stdout)
    rotated = json.loads(run_on_service("hook", "rotate", made["id"], "--account", name, "--json").stdout)
    assert rotated["id"] == made["id"]
    assert {rotated["path"], rotated["secret"]}.isdisjoint({made["path"], made["secret"]})
    lines = run_on_service("hook", "rotate", made["id"], "--only", "token", "--overlap", "1h", "--account", name).stdout
    assert "/hooks/shh_" in lines
    assert "whsec_" not in lines


async def test_rotate_encryption_reencrypts_secrets_with_first_key(
    run_on_service: RunCommand, app: RunningApp, account: AccountClient
) -> None:
    hook = await account.post("/api/v1/hooks", {"is_signed": True})
    old, new = str(app.settings.encryption_keys), run_on_service("key", "encryption").stdout.strip()

    async def rotate(keys: str) -> tuple[int, bytes]:
        done = await asyncio.to_thread(run_on_service, "keys", "rotate-encryption", encryption_keys=keys)
        stored = await app.execute_sql("SELECT secret FROM hooks WHERE id = :id", id=hook["id"])
        return done.returncode, bytes(stored[0][0])  # type: ignore[call-overload]  # a column

    status, encrypted = await rotate(f"{new},{old}")
    assert status == 0
    assert Encryption(new).decrypt(f"hook {hook['id']}", encrypted) == hook["secret"]
    assert await rotate(old) == (1, encrypted)
    # The app goes on with its own key.
    assert (await rotate(f"{old},{new}"))[0] == 0


def test_doctor_reports_each_check(run_on_service: RunCommand) -> None:
    done = run_on_service("doctor", "--json")
    verdicts = {check["name"]: check["ok"] for check in map(json.loads, done.stdout.splitlines())}
    names = ("settings", "python", "files", "encryption", "database", "migrations", "clock", "redis", "web")
    # This app has no worker process.
    assert verdicts == {**dict.fromkeys(names, True), "workers": False}
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("words", "settings", "status", "says"),
    [
        (["send", "BUY"], {"api_key": "shk_x", "url": "http://127.0.0.1:9"}, 1, "http://127.0.0.1:9 cannot be reached"),
        (["tail"], {"api_key": "shk_x", "url": "http://127.0.0.1:9"}, 1, "signalhub up"),
        (["orders"], {}, 2, "There is no API key"),
        (["orders"], {"api_key": "shk_x", "url": "nonsense"}, 1, "is no address of a service"),
        (["key", "list"], {}, 2, "SIGNALHUB_DATABASE_URL is not set"),
        (["web"], {}, 2, "SIGNALHUB_DATABASE_URL is not set"),
        (["orders"], {"typo": "1"}, 2, "SIGNALHUB_TYPO is not a setting"),
        (["up"], {"chaos": "stormy"}, 2, "There is no chaos profile 'stormy'"),
        (["web"], {**URLS, "broker": "other"}, 2, "No broker named 'other' is installed"),
        (["worker"], {**URLS, "market_latency": "soon"}, 2, "SIGNALHUB_MARKET_LATENCY is 'soon': write a time"),
        (["doctor"], {"slippage_bp": "-1"}, 2, "SIGNALHUB_SLIPPAGE_BP is '-1': write a number from 0 to 1000"),
        (["nothing"], {}, 2, "No such command"),
        (["key", "create", "--expires-in", "soon"], {}, 2, "is no duration"),
    ],
)
def test_expected_failures_print_one_sentence(
    run_command: RunCommand, words: list[str], settings: dict[str, str], status: int, says: str
) -> None:
    done = run_command(*words, **settings)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_mistyped_key_is_reported_at_sign_in(run_on_service: RunCommand, account: AccountClient) -> None:
    mistyped = run_on_service("orders", api_key=account.api_key[:-1])
    assert (mistyped.returncode, "[mistyped_key]" in mistyped.stderr) == (1, True)


def test_help_lists_every_command(run_command: RunCommand) -> None:
    done = run_command("--help")
    assert done.returncode == 0
    assert all(f"\n  {name} " in done.stdout for name in ("up", "send", "tail", "parse", "doctor", "key", "epoch"))


def test_local_state_is_private_and_completes_settings(tmp_path: Path) -> None:
    local_state = LocalState(tmp_path)
    local_state.save_running_service(
        RunningService(os.getpid(), "http://127.0.0.1:1", "postgresql+asyncpg://x", "unix://y")
    )
    local_state.save_credentials(LocalCredentials("shk_z", None, is_told=True))
    settings = complete_settings(Settings(data_dir=tmp_path))
    assert (settings.url, settings.database_url, settings.redis_url) == (
        "http://127.0.0.1:1",
        "postgresql+asyncpg://x",
        "unix://y",
    )
    assert settings.api_key == "shk_z"
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_local_key_is_not_sent_to_another_url(tmp_path: Path) -> None:
    LocalState(tmp_path).save_credentials(LocalCredentials("shk_z", None, is_told=True))
    assert complete_settings(Settings(data_dir=tmp_path, url="http://elsewhere")).api_key == Secret()


def test_run_file_of_dead_process_is_ignored(tmp_path: Path) -> None:
    LocalState(tmp_path).save_running_service(RunningService(2**22 + 1, "http://127.0.0.1:1", "d", "r"))
    assert complete_settings(Settings(data_dir=tmp_path)).database_url == ""
