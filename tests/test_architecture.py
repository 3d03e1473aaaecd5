"""Rules of this codebase that no linter checks."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
MAX_MODULES: Final = 182
MAX_MODULE_LINES: Final = 400
MAX_FUNCTION_LINES: Final = 40
MAX_PRIVATE_SHARE: Final = 0.30
SMALL_MODULE_LINES: Final = 80
LOG_EVENT_PATTERN: Final = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")
LOG_METHODS: Final = {"debug", "info", "warning", "error", "exception", "critical"}
LOGGER_NAMES: Final = {"_log", "log", "logger", "_logger"}
PRICE_NAMES: Final = {
    "price", "entry", "entry_high", "stop_loss", "take_profit", "take_profits", "quantity", "pnl", "fill_price",
    "close_price", "r_multiple",
}  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _to_module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "src" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES: Final = {
    _to_module_name(path): path
    for folder in ("src/signalhub", "actors", "db", ".just")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
TREES: Final = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}


def _iterate_nodes() -> Iterator[tuple[str, ast.AST]]:
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            yield name, node


def _format_location(module: str, node: ast.AST | None = None) -> str:
    return f"{SOURCES[module].relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def _count_lines(module: str) -> int:
    return len(SOURCES[module].read_text().splitlines())


def _list_imports(module: str) -> set[str]:
    """List the modules of this project that `module` imports at its top level."""
    imported = set()
    for node in TREES[module].body:
        match node:
            case ast.Import(names=names):
                imported |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(base), names=names):
                submodules = {f"{base}.{alias.name}" for alias in names}
                imported |= {name if name in SOURCES else base for name in submodules}
    return (imported & SOURCES.keys()) - {module}


def _list_functions(tree: ast.Module) -> list[Function]:
    """List functions and methods; functions inside functions are part of these."""
    owners: list[ast.Module | ast.ClassDef] = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    return [node for owner in owners for node in owner.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _count_body_lines(function: Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_module_count_is_limited() -> None:
    modules = [name for name in SOURCES if not name.startswith(".just")]  # those are scripts
    assert len(modules) <= MAX_MODULES


def test_module_length_is_limited() -> None:
    lengths = {SOURCES[name].name: _count_lines(name) for name in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_long_function_has_a_comment() -> None:
    """A function of more than 40 lines says in a comment why it is not divided."""
    violations = []
    for name, node in _iterate_nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _count_body_lines(node) > MAX_FUNCTION_LINES:
            lines = SOURCES[name].read_text().splitlines()[node.lineno - 1 : node.end_lineno]
            violations += [] if "#" in "".join(lines) else [_format_location(name, node)]
    assert violations == []


def test_every_module_has_a_docstring() -> None:
    assert [name for name, tree in TREES.items() if SOURCES[name].read_text() and not ast.get_docstring(tree)] == []


def test_imports_have_no_circle() -> None:
    try:
        TopologicalSorter({name: _list_imports(name) for name in SOURCES}).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_share_of_private_functions_is_limited() -> None:
    private: dict[str, list[str]] = defaultdict(list)
    total = 0
    for name, tree in TREES.items():
        for function in _list_functions(tree):
            if not function.name.startswith("__"):
                total += 1
                private[name] += [function.name] if function.name.startswith("_") else []
    count = sum(map(len, private.values()))
    by_module = sorted(private.items(), key=lambda item: -len(item[1]))
    listing = "\n".join(f"{len(names):3} {name}: {', '.join(names)}" for name, names in by_module if names)
    assert count <= MAX_PRIVATE_SHARE * total, (
        f"{count} of {total} functions are private ({count / total:.1%})\n{listing}"
    )


def test_small_module_with_one_importer_gives_a_reason() -> None:
    """A module of less than 80 lines with one importer has a sentence "Separate because …" in its docstring."""
    importers = Counter(imported for name in SOURCES for imported in _list_imports(name))
    assert [
        f"{name}: {_count_lines(name)} lines"
        for name, tree in TREES.items()
        if importers[name] == 1
        and SOURCES[name].name != "__init__.py"
        and _count_lines(name) < SMALL_MODULE_LINES
        and "Separate because" not in " ".join((ast.get_docstring(tree) or "").split())
    ] == []


def test_log_events_are_named_component_and_what_happened() -> None:
    violations = []
    for name, node in _iterate_nodes():
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=logger), attr=method), args=[ast.Constant(value=str(event)), *_]
            ) if logger in LOGGER_NAMES and method in LOG_METHODS:
                if not LOG_EVENT_PATTERN.fullmatch(event):
                    violations.append(f"{_format_location(name, node)}: {event}")
            case ast.Call(func=ast.Attribute(value=ast.Name(id=logger), attr=method)) if (
                logger in LOGGER_NAMES and method in LOG_METHODS
            ):
                violations.append(f"{_format_location(name, node)}: the event is not a literal")
    assert violations == []


def test_prices_are_not_floats() -> None:
    violations = []
    for name, node in _iterate_nodes():
        match node:
            case (
                ast.AnnAssign(target=ast.Name(id=variable), annotation=annotation)
                | ast.arg(arg=variable, annotation=ast.expr() as annotation)
            ):
                is_violation = variable in PRICE_NAMES and "float" in ast.unparse(annotation)
            case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=float())]):
                is_violation = True
            case _:
                is_violation = False
        violations += [_format_location(name, node)] if is_violation else []
    assert violations == []


def test_times_have_a_time_zone() -> None:
    violations = []
    for name, node in _iterate_nodes():
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="datetime"), attr=method), args=arguments, keywords=[]):
                needed = {"now": 1, "fromtimestamp": 2, "utcnow": 99, "utcfromtimestamp": 99}.get(method, 0)
                violations += [_format_location(name, node)] if len(arguments) < needed else []
    assert violations == []
