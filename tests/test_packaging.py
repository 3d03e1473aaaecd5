"""The wheel: everything that runs is in it, nothing else is, and its three names are ours alone."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a network, by the back end that is installed for this."""
    where = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(where)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603 - our own
    (built,) = where.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def _list_packaged_files(*folders: str) -> set[str]:
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)).removeprefix("src/") for path in paths if "__pycache__" not in path.parts}


def test_wheel_contains_all_sources(names: set[str]) -> None:
    assert not _list_packaged_files("src/signalhub", "actors", "db") - names


@pytest.mark.parametrize(
    "suffix", ["migrations/script.py.mako", "py.typed", "instruments.toml", "templates/base.html", "static/page.css"]
)
def test_wheel_contains_data_files(names: set[str], suffix: str) -> None:
    assert [name for name in names if name.endswith(suffix)]


def test_wheel_contains_only_three_packages(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"signalhub", "actors", "db"}


def test_package_names_belong_to_one_distribution(wheel: Path, tmp_path: Path) -> None:
    """`actors` and `db` are general names: another distribution that brings one would hide ours, or we it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = (
        "import importlib.metadata as m; found = m.packages_distributions();"
        "print([sorted(set(found[name])) for name in ('signalhub', 'actors', 'db')])"
    )
    command = [sys.executable, "-P", "-c", script]
    run = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    assert run.stdout.strip() == "[['signalhub'], ['signalhub'], ['signalhub']]"


def test_wheel_imports_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = "import db.migrate, actors, signalhub.settings; print(db.__file__); print(db.migrate.head_revision())"
    command = [sys.executable, "-P", "-c", script]
    run = subprocess.run(  # noqa: S603 - our own
        command, env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    path, revision = run.stdout.split()
    assert path.startswith(str(tmp_path))
    assert revision


def test_importing_signalhub_imports_no_submodule() -> None:
    """So that `db` can use `signalhub.domain` while `signalhub.services` uses `db`, without a cycle."""
    for name in ("__init__", "domain/__init__"):
        tree = ast.parse((ROOT / f"src/signalhub/{name}.py").read_text())
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_import_opens_no_socket_and_reads_no_environment() -> None:
    script = (
        "import os, socket\n"
        "def stop(*_, **__): raise SystemExit('opened a socket')\n"
        "socket.socket.connect = stop\n"
        "os.environ['SIGNALHUB_NONSENSE'] = 'x'\n"
        "import signalhub.app, actors.worker, db.tables, signalhub.cli.main"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)  # noqa: S603 - our own
