"""Settings: every name is known, every typing mistake is an error, and secrets do not show themselves."""

from pathlib import Path

import pytest

from signalhub.logging_setup import redact
from signalhub.settings import RetrySettings, Secret, Settings, SettingsError, WebSettings, from_env, to_env


def test_missing_settings_have_safe_defaults() -> None:
    parsed = from_env({"PATH": "/bin"})
    assert (parsed.web.host, parsed.web.port, parsed.web.registration_mode) == ("127.0.0.1", 8000, "open")
    assert from_env({"SIGNALHUB_HOST": "0.0.0.0"}).web.registration_mode == "closed"  # noqa: S104 - never bound


@pytest.mark.parametrize(
    ("public_url", "mode"),
    [("https://signals.example.com", "closed"), ("http://localhost:9000/", "open"), ("http://[::1]:8000", "open"),
     ("http://localhost.example.com", "closed"), ("signals.example.com", "closed"),
     ("http://127.0.0.1@example.com", "closed")],
)  # fmt: skip
def test_registration_is_closed_with_a_public_url_of_another_host(public_url: str, mode: str) -> None:
    assert from_env({"SIGNALHUB_PUBLIC_URL": public_url}).web.registration_mode == mode


@pytest.mark.parametrize(
    "environ",
    [{"SIGNALHUB_PROT": "1"}, {"SIGNALHUB_PORT": "many"}, {"SIGNALHUB_PORT": ""}, {"SIGNALHUB_BROKER_PROFILE": "none"},
     {"SIGNALHUB_PORT_FILE": "/nowhere"}, {"SIGNALHUB_": "x"}, {"SIGNALHUB_REGISTRATION": "OPEN"},
     {"SIGNALHUB_MARKET_SPEED": "0"}, {"SIGNALHUB_LEASE_S": "nan"}, {"SIGNALHUB_ORDER_EXPIRY_S": "inf"},
     {"SIGNALHUB_WORKER_PROCESSES": "0"}, {"SIGNALHUB_PORT": "65536"}],
)  # fmt: skip
def test_invalid_setting_error_names_the_variable(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        from_env(environ)
    assert next(iter(environ)) in str(caught.value)


def test_setting_is_read_from_variable_or_file_but_not_both(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sealed\n")
    environ = {"SIGNALHUB_ENCRYPTION_KEYS_FILE": str(tmp_path / "key")}
    assert from_env(environ).encryption_keys == "sealed"
    with pytest.raises(SettingsError):
        from_env(environ | {"SIGNALHUB_ENCRYPTION_KEYS": "other"})


def test_settings_round_trip_through_environment() -> None:
    settings = Settings(
        database_url=Secret("postgresql://x"),
        web=WebSettings(port=9, allowed_origins=("https://a", "https://b")),
        retry=RetrySettings(max_attempts=3),
    )
    assert from_env(to_env(settings)) == settings


def test_settings_repr_hides_secrets() -> None:
    assert "postgresql" not in repr(Settings(database_url=Secret("postgresql://me:pw@host/db")))


@pytest.mark.parametrize(
    "text", ["shk_aaaaaaaaaaaa_TOPSECRET", "see /hooks/shh_aaaaaaaaaaaa_TOPSECRET/", "whsec_TOPSECRET=="]
)
def test_log_redaction_removes_secrets(text: str) -> None:
    assert "TOPSECRET" not in redact(text)
