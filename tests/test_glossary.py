"""Hold code, tests and documentation to the words of docs/glossary.md.

The retired words are read from the tables of that page. They are looked for in names, comments, docstrings, log events
and Markdown; other strings are data.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
FOLDERS: Final = ("src", "actors", "db", "tests", "docs", "README.md", ".just")
# The first lists the retired words; the second tests with some of them.
EXEMPT_FILES: Final = {"docs/glossary.md", "tests/test_glossary.py"}
LOG_METHODS: Final = {"debug", "info", "warning", "error", "exception", "critical"}
NAME_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def _read_table(heading: str) -> dict[str, str]:
    """Map each word in the first column of the glossary's table under `heading` to the text of the second."""
    _, _, rest = (ROOT / "docs/glossary.md").read_text(encoding="utf-8").partition(f"\n{heading}\n")
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", rest.strip().split("\n\n")[0], re.MULTILINE)
    return {word.strip("`"): text for words, text in rows[2:] for word in words.split(", ")}


RETIRED_WORDS: Final = _read_table("As a word of prose and as a part of a name:")
RETIRED_CONSTANT_PARTS: Final = _read_table("As a part of a constant's name:")
RETIRED_VARIABLES: Final = _read_table("As the name of a variable or a parameter:")
ALLOWED_TEXTS: Final = _read_table("Allowed all the same:")

Violation = tuple[int, str, str]
"""A line number, the retired word and its replacement."""


def find_violations(path: str, text: str) -> list[Violation]:
    """Return every retired word of one file."""
    if path.endswith(".md"):
        return [word for number, line in enumerate(text.splitlines(), 1) for word in _find_words(number, line)]
    violations = sorted({*_find_in_tokens(text), *_find_in_strings(text), *_find_variables(text)})
    return [violation for violation in violations if f"{path} {violation[1]}" not in ALLOWED_TEXTS]


def _find_words(line_number: int, text: str) -> Iterator[Violation]:
    for allowed in ALLOWED_TEXTS:
        text = text.replace(allowed, "")
    for part in NAME_PART.findall(text):
        if part.lower() in RETIRED_WORDS:
            yield line_number, part, RETIRED_WORDS[part.lower()]


def _find_in_tokens(text: str) -> Iterator[Violation]:
    """Names and comments."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in {tokenize.NAME, tokenize.COMMENT}:
            yield from _find_words(token.start[0], token.string)
        if token.type == tokenize.NAME and token.string.isupper():
            for part in token.string.split("_"):
                if part in RETIRED_CONSTANT_PARTS:
                    yield token.start[0], token.string, RETIRED_CONSTANT_PARTS[part]


def _find_in_strings(text: str) -> Iterator[Violation]:
    """Docstrings, also those of variables, and log events."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(string))):
                pass
            case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant(value=str(string)), *_]) if (
                method in LOG_METHODS
            ):
                pass
            case _:
                continue
        for number, line in enumerate(string.splitlines(), node.lineno):
            yield from _find_words(number, line)


def _find_variables(text: str) -> Iterator[Violation]:
    """Variables and parameters, except those of a comprehension or lambda of one line, and fields."""
    tree = ast.parse(text)
    short = {
        id(name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp | ast.Lambda)
        and node.lineno == node.end_lineno
        for name in ast.walk(node)
    }
    fields = {
        id(item.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store(), lineno=line_number) | ast.arg(arg=name, lineno=line_number):
                if name in RETIRED_VARIABLES and id(node) not in short | fields:
                    yield line_number, name, RETIRED_VARIABLES[name]


def _list_files(folder: str) -> list[Path]:
    root = ROOT / folder
    return [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.suffix in {".py", ".md"})


@pytest.mark.parametrize("folder", FOLDERS)
def test_files_contain_no_retired_word(folder: str) -> None:
    violations = []
    for path in _list_files(folder):
        name = path.relative_to(ROOT).as_posix()
        if name not in EXEMPT_FILES:
            for line_number, word, replacement in find_violations(name, path.read_text(encoding="utf-8")):
                violations.append(f"{name}:{line_number}: {word!r} is retired, write: {replacement}")
    assert not violations, "\n".join(violations)


def test_retired_words_are_found_where_they_are_looked_for() -> None:
    source = '''
"""The door."""
MOST_SEATS = 1  # a crowd
def ring_bell(found, *, doorstep):
    _log.info("doorbell.rung", house="bell")
    return [one for one in found], [
        one for one in found
    ]
'''
    assert [(number, word) for number, word, _ in find_violations("x.py", source)] == [
        (2, "door"), (3, "MOST_SEATS"), (3, "SEATS"), (3, "crowd"), (4, "bell"), (4, "found"),
        (5, "doorbell"), (5, "house"), (5, "rung"), (7, "one"),
    ]  # fmt: skip
    assert [word for _, word, _ in find_violations("x.md", "The setting `intake_queue`, a bell in the doorway")] == [
        "bell"
    ]
