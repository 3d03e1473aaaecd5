"""Where in a text a problem is: the line it is in, cut into what is before, what is meant and what is after.

`static/faults.js` does the same while somebody types; the two must agree on what a line and a column are.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from signalhub.domain.errors import REFUSALS, Problem

_LINE_BREAK: Final = re.compile("\r\n|[\n\r\u2028\u2029]")


class ProblemExcerpt(msgspec.Struct, frozen=True, kw_only=True):
    """`before`, `marked` and `after` are one line of the text; all empty where the problem is in no one place."""

    code: str
    title: str
    hint: str
    line: int
    column: int
    before: str = ""
    marked: str = ""
    after: str = ""


def excerpt_problems(text: str, problems: Sequence[Problem]) -> list[ProblemExcerpt]:
    lines = _LINE_BREAK.split(text)
    return [_excerpt_problem(lines, problem) for problem in problems]


def _excerpt_problem(lines: list[str], problem: Problem) -> ProblemExcerpt:
    line = lines[problem.line - 1] if problem.line <= len(lines) else ""
    begin, end = problem.column - 1, problem.column - 1 + problem.length
    # In a JSON wrapper positions are those of the inner text, which is not the one shown.
    is_here = problem.length > 0 and line[begin:end] == problem.text
    return ProblemExcerpt(
        code=problem.code,
        title=REFUSALS[problem.code].title,
        hint=problem.hint,
        line=problem.line,
        column=problem.column,
        before=line[:begin] if is_here else "",
        marked=problem.text,
        after=line[end:] if is_here else "",
    )
