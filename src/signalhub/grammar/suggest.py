"""Near misses: `BYU` for BUY, `SI` for SL. Only looked for in texts that are refused anyway."""

import re
from collections.abc import Iterator
from typing import Final

from signalhub.grammar.draft import ParsedFields

_SHORT_WORD: Final = re.compile(r"[A-Za-z]{2,12}[0-9]?", re.ASCII)
_MAX_WORDS: Final = 60
_MIN_CHARS_FOR_DELETION: Final = 4

_EXPECTED_WORDS: Final = {
    "side": ("BUY", "SELL", "LONG", "SHORT"),
    "stop_loss": ("SL", "STOPLOSS", "STOP"),
    "take_profit": ("TP", "TARGET", "TARGETS", "TAKEPROFIT"),
}
# Letters that look like others or lie beside them, where one slip makes another short word.
_EXTRA_TYPOS: Final = {"stop_loss": {"SI": "SL", "S1": "SL", "SK": "SL"}, "take_profit": {"TB": "TP", "TO": "TP"}}


def _generate_typos(word: str) -> Iterator[str]:
    """Two letters swapped, one doubled and, where enough is left to recognise, one missing."""
    for i in range(len(word)):
        yield word[:i] + word[i] * 2 + word[i + 1 :]
        if i + 1 < len(word):
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        if len(word) >= _MIN_CHARS_FOR_DELETION:
            yield word[:i] + word[i + 1 :]


_CORRECTIONS: Final = {
    field: {slip: word for word in words for slip in _generate_typos(word) if slip not in words}
    | _EXTRA_TYPOS.get(field, {})
    for field, words in _EXPECTED_WORDS.items()
}


def suggest_word(fields: ParsedFields, field_name: str) -> str:
    """` Did you mean BUY where it says BYU?`, or nothing."""
    meant = _CORRECTIONS[field_name]
    for word in _SHORT_WORD.findall(fields.source.clean)[:_MAX_WORDS]:
        if word.upper() in meant:
            return f" Did you mean {meant[word.upper()]} where it says {word}?"
    return ""
