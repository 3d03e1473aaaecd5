"""The broker of `docs/adding-a-broker.md` is installed, loaded and checked as the page says."""

import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from signalhub.brokers import conformance, factory
from signalhub.settings import BrokerSettings

PAGE: Final = (Path(__file__).parents[2] / "docs" / "adding-a-broker.md").read_text(encoding="utf-8")


def _block(language: str) -> str:
    match = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


@pytest.fixture
def installed_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the documented broker as `pip install` would."""
    project = tomllib.loads(_block("toml"))["project"]
    (group, points), *_ = project["entry-points"].items()
    (tmp_path / "paper_broker.py").write_text(_block("python"), encoding="utf-8")
    info = tmp_path / f"paper_broker-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed_plugin")
@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
async def test_documented_broker_loads_and_conforms(check: conformance.Check) -> None:
    await check(lambda: factory.load_broker(BrokerSettings(name="paper")), conformance.orders("demo"))


@pytest.mark.usefixtures("installed_plugin")
def test_unknown_broker_error_lists_installed_brokers() -> None:
    with pytest.raises(LookupError, match="No broker named 'other' is installed; there are: mock, paper"):
        factory.load_broker(BrokerSettings(name="other"))


NAMES_IN_PAGE: Final = sorted(set(re.findall(r"`(signalhub\.(?:brokers|domain)\.[\w.]+)`", PAGE)))


@pytest.mark.parametrize("name", NAMES_IN_PAGE)
def test_names_in_the_page_exist(name: str) -> None:
    try:
        import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute)
