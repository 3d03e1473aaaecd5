"""The one way through the grammar, for the webhook and for people who ask why: bytes, body, adapter, draft, verdict."""

from typing import Final

from signalhub.domain.errors import Problem
from signalhub.grammar import fast
from signalhub.grammar.canonical import rewrite
from signalhub.grammar.results import Explanation, Refused, Understood

LARGEST: Final = 16 * 1024


def parse(raw: bytes) -> Understood | Refused:
    """Read a signal. Total: any bytes give a result, none an exception."""
    if len(raw) > LARGEST:
        return Refused((Problem(code="too_large", hint="Send at most 16 KiB; a signal is a few lines."),))
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Refused((Problem(code="not_utf8", hint="Send the text as UTF-8."),))
    return fast.read(text) or Refused((Problem(code="unsupported", hint="Write BUY or SELL, a symbol, SL and TP."),))


def explain(raw: bytes) -> Explanation:
    verdict = parse(raw)
    if isinstance(verdict, Refused):
        return Explanation(
            ok=False,
            adapter=None,
            signal=None,
            canonical=None,
            parts=(),
            ignored=(),
            notes=(),
            problems=verdict.problems,
        )
    return Explanation(
        ok=True,
        adapter="text",
        signal=verdict.signal,
        canonical=rewrite(verdict.signal),
        parts=verdict.parts,
        ignored=verdict.ignored,
        notes=verdict.notes,
        problems=(),
    )
