"""House rules that no linter knows."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for folder in ("src/signalhub", "actors", "db") for path in (ROOT / folder).rglob("*.py"))
MAX_FUNCTION_LINES = 30
MAX_MODULE_LINES = 300
PRICE_NAMES = {
    "price", "entry", "entry_high", "stop_loss", "take_profit", "take_profits", "quantity", "pnl", "fill_price",
    "close_price", "r_multiple",
}  # fmt: skip


def _iterate_nodes() -> Iterator[tuple[Path, ast.AST]]:
    """Every node of every source file."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


def _format_location(path: Path, node: ast.AST | None = None) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def test_long_function_has_a_comment() -> None:
    """More than 30 lines are one idea too many, or a comment in it says why they are one."""
    faults = []
    for path, node in _iterate_nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _count_body_lines(node) > MAX_FUNCTION_LINES:
            own = path.read_text().splitlines()[node.lineno - 1 : node.end_lineno]
            faults += [] if "#" in "".join(own) else [_format_location(path, node)]
    assert faults == []


def _count_body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_module_length_is_limited() -> None:
    assert [path.name for path in SOURCES if len(path.read_text().splitlines()) > MAX_MODULE_LINES] == []


def test_every_module_has_a_docstring() -> None:
    said = {path: ast.get_docstring(ast.parse(path.read_text())) for path in SOURCES if path.read_text()}
    assert [_format_location(path) for path, text in said.items() if not text] == []


def test_no_price_is_a_float() -> None:
    faults = []
    for path, node in _iterate_nodes():
        match node:
            case (
                ast.AnnAssign(target=ast.Name(id=name), annotation=kind)
                | ast.arg(arg=name, annotation=ast.expr() as kind)
            ):
                is_fault = name in PRICE_NAMES and "float" in ast.unparse(kind)
            case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=float())]):
                is_fault = True
            case _:
                is_fault = False
        faults += [_format_location(path, node)] if is_fault else []
    assert faults == []


def test_no_time_is_naive() -> None:
    faults = []
    for path, node in _iterate_nodes():
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="datetime"), attr=name), args=given, keywords=[]):
                needed = {"now": 1, "fromtimestamp": 2, "utcnow": 99, "utcfromtimestamp": 99}.get(name, 0)
                faults += [_format_location(path, node)] if len(given) < needed else []
    assert faults == []
