"""Settings: every name is known, every typing mistake is an error, and secrets do not show themselves."""

from pathlib import Path

import pytest

from signalhub.log import redact
from signalhub.settings import Secret, Settings, SettingsError, from_env, to_env


def test_what_is_not_given_has_a_safe_default() -> None:
    found = from_env({"PATH": "/bin"})
    assert (found.host, found.port, found.registration_mode) == ("127.0.0.1", 8000, "open")
    assert from_env({"SIGNALHUB_HOST": "0.0.0.0"}).registration_mode == "closed"  # noqa: S104 - never bound


@pytest.mark.parametrize(
    "environ",
    [{"SIGNALHUB_PROT": "1"}, {"SIGNALHUB_PORT": "many"}, {"SIGNALHUB_PORT": ""}, {"SIGNALHUB_BROKER_PROFILE": "none"},
     {"SIGNALHUB_PORT_FILE": "/nowhere"}, {"SIGNALHUB_": "x"}, {"SIGNALHUB_REGISTRATION": "OPEN"},
     {"SIGNALHUB_MARKET_SPEED": "0"}, {"SIGNALHUB_LEASE_S": "nan"}, {"SIGNALHUB_ORDER_EXPIRY_S": "inf"},
     {"SIGNALHUB_WORKER_PROCESSES": "0"}, {"SIGNALHUB_PORT": "65536"}],
)  # fmt: skip
def test_a_typing_mistake_is_an_error_that_names_the_variable(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        from_env(environ)
    assert next(iter(environ)) in str(caught.value)


def test_a_setting_comes_from_a_file_too_but_not_from_both(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sealed\n")
    environ = {"SIGNALHUB_ENCRYPTION_KEYS_FILE": str(tmp_path / "key")}
    assert from_env(environ).encryption_keys == "sealed"
    with pytest.raises(SettingsError):
        from_env(environ | {"SIGNALHUB_ENCRYPTION_KEYS": "other"})


def test_a_parent_s_settings_reach_its_children_unchanged() -> None:
    settings = Settings(port=9, database_url=Secret("postgresql://x"), allowed_origins=("https://a", "https://b"))
    assert from_env(to_env(settings)) == settings


def test_a_secret_shows_itself_in_no_repr() -> None:
    assert "postgresql" not in repr(Settings(database_url=Secret("postgresql://me:pw@host/db")))


@pytest.mark.parametrize(
    "text", ["shk_aaaaaaaaaaaa_TOPSECRET", "see /hooks/shh_aaaaaaaaaaaa_TOPSECRET/", "whsec_TOPSECRET=="]
)
def test_a_log_line_keeps_no_secret(text: str) -> None:
    assert "TOPSECRET" not in redact(text)
