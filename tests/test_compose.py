"""compose.yaml, its secrets and .env.example, held against the settings and commands that exist."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships none
from cryptography.fernet import Fernet

from signalhub import settings
from signalhub.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN_SERVICES = ["migrate", "web", "worker"]

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def list_file_settings(service: dict[str, Any]) -> dict[str, str]:
    """Map the settings that a service reads from files to the files."""
    return {name: text for name, text in service["environment"].items() if name.endswith("_FILE")}


def create_secrets(directory: Path) -> str:
    """Run the script on `directory` in place of the checkout; return its output."""
    script = directory / ".just" / "compose_secrets.py"
    script.parent.mkdir(exist_ok=True)
    script.write_bytes((ROOT / ".just" / script.name).read_bytes())
    return subprocess.run([sys.executable, script], check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own


@pytest.mark.parametrize("name", OWN_SERVICES)
def test_service_environment_contains_only_known_settings(name: str, tmp_path: Path) -> None:
    create_secrets(tmp_path)
    files = list_file_settings(SERVICES[name])
    mounted = {variable: file.replace("/run", str(tmp_path)) for variable, file in files.items()}
    parsed = settings.from_env(SERVICES[name]["environment"] | mounted)
    assert parsed.database_url.startswith("postgresql")
    assert parsed.redis_url.startswith("redis://")


@pytest.mark.parametrize("name", OWN_SERVICES)
def test_service_runs_a_command_that_exists(name: str) -> None:
    assert SERVICES[name]["command"][0] in COMMANDS


@each_service
def test_service_has_a_health_check_or_runs_once(service: dict[str, Any]) -> None:
    assert "healthcheck" in service or service["restart"] == "no"


@each_service
def test_service_mounts_exactly_the_secrets_it_reads(service: dict[str, Any]) -> None:
    read = re.findall(r"/run/secrets/(\w+)", str(service))
    assert set(service["secrets"]) == set(read)
    assert set(read) <= set(COMPOSE["secrets"])


@each_service
def test_service_is_read_only_and_unprivileged(service: dict[str, Any]) -> None:
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_only_web_port_is_published_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["web"]
    assert all(port.startswith("127.0.0.1:") for port in published["web"])


@pytest.mark.parametrize("name", ["web", "worker"])
def test_stop_grace_period_exceeds_shutdown_time(name: str) -> None:
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > 10


def test_secrets_are_created_once_with_private_permissions(tmp_path: Path) -> None:
    create_secrets(tmp_path)
    second_output = create_secrets(tmp_path)
    made = {file.name: file.read_text(encoding="ascii") for file in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert made["postgres_password"] in made["database_url"]
    assert made["valkey_password"] in made["redis_url"]
    Fernet(made["encryption_keys"])
    assert second_output == ""


def test_env_example_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(r"^#?(SIGNALHUB_\w+)=(.*)$", text, re.MULTILINE)
    (tmp_path / "secrets").mkdir()
    for file in (value for name, value in lines if name.endswith("_FILE")):
        Path(file).write_text("x", encoding="ascii")
    assert settings.from_env(dict(lines)).web.port == 8000
