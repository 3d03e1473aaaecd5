"""Documentation is a subject of tests: what it lists is what there is."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from litestar import get
from litestar.testing import create_test_client
from prometheus_client import REGISTRY

from signalhub.cli.main import ALIASES, COMMANDS, signalhub
from signalhub.domain.errors import ERRORS
from signalhub.domain.events import EVENT_TYPES
from signalhub.settings import ENV_PREFIX, FIELDS_BY_VARIABLE, Settings
from signalhub.streams import metrics as stream_metrics
from signalhub.web.middleware import HTTP_METRICS
from signalhub.web.problems import STATUSES

_DOCS = Path(__file__).parent.parent / "docs"


def _find_in_page(page: str, pattern: str) -> list[Any]:
    """Return the matches of a pattern: texts for one group, tuples for several."""
    return re.findall(pattern, (_DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_setting_is_documented_once_with_its_default() -> None:
    rows = dict(_find_in_page("settings.md", rf"^\| `{ENV_PREFIX}([A-Z_]+)` \| (?:`(.*?)`|\(empty\)) \|"))
    defaults = {variable: field.get_value(Settings()) for variable, field in FIELDS_BY_VARIABLE.items()}
    assert set(rows) == set(defaults)
    assert rows == {name: "" if value == () else str(value) for name, value in defaults.items()}


def test_every_error_is_documented_as_in_the_tables() -> None:
    rows = _find_in_page("errors.md", r"^\| `(\w+)` \| (\d+) \| ([^|]+) \| (yes|no) \|")
    assert rows == [
        (code, str(STATUSES[code]), error.title, "yes" if error.is_permanent else "no")
        for code, error in ERRORS.items()
    ]


def test_every_event_is_documented() -> None:
    assert _find_in_page("events.md", r"^\| `([a-z]+\.[a-z_]+)` \|") == list(EVENT_TYPES)


def _iterate_commands(group: click.Group, path: str) -> Iterator[tuple[str, str]]:
    """Yield each command that does something, with its arguments, and the first sentence of its help."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        arguments = [param.make_metavar(ctx) for param in command.params if isinstance(param, click.Argument)]
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield " ".join([path, name, *arguments]), command.get_short_help_str(limit=200)
        if isinstance(command, click.Group):
            yield from _iterate_commands(command, f"{path} {name}")


def test_every_command_is_documented() -> None:
    rows = _find_in_page("cli.md", r"^\| `(signalhub [^`]+)` \| (.+) \|$")
    assert rows == list(_iterate_commands(signalhub, "signalhub"))


@pytest.mark.parametrize("page", sorted(path.name for path in _DOCS.glob("*.md")))
def test_page_names_existing_commands(page: str) -> None:
    assert set(_find_in_page(page, r"`signalhub ([a-z]+)")) <= {*COMMANDS, *ALIASES}


@get("/fails")
async def fail() -> None:
    raise RuntimeError


def test_every_metric_is_documented_with_its_type_and_threshold() -> None:
    import_module("signalhub.web.problems")
    import_module("signalhub.services.metrics")
    stream_metrics.register(REGISTRY)
    # Litestar creates its metrics with the first request, and that of errors with the first error.
    with create_test_client([fail], middleware=[HTTP_METRICS.middleware], raise_server_exceptions=False) as client:
        client.get("/fails")
    kinds = {metric.name: metric.type for metric in REGISTRY.collect() if metric.name.startswith("signalhub_")}
    rows = {
        name.removesuffix("_total"): kind
        for name, kind in _find_in_page("operating.md", r"^\| `(signalhub_\w+)` \| (\w+) \| [^|]+ \| [^|]*\|$")
    }
    assert rows == kinds


@pytest.mark.parametrize(
    "name", sorted(set(_find_in_page("life-of-a-signal.md", r"`((?:signalhub|actors|db)\.[\w.]+)`")))
)
def test_life_of_a_signal_names_existing_objects(name: str) -> None:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            named: object = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            named = getattr(named, part)
        return
    pytest.fail(f"{name} does not exist")


@pytest.mark.parametrize(
    "page",
    sorted(path.relative_to(_DOCS.parent) for path in _DOCS.parent.glob("**/*.md") if ".venv" not in path.parts),
    ids=str,
)
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", (_DOCS.parent / page).read_text(encoding="utf-8")):
        assert (_DOCS.parent / page).parent.joinpath(target).exists(), target
