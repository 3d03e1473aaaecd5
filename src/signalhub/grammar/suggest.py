"""Near misses: `BYU` for BUY, `SI` for SL. Only looked for in texts that are refused anyway."""

import re
from collections.abc import Iterator
from typing import Final

from signalhub.grammar.draft import Draft

_WORDS: Final = re.compile(r"[A-Za-z]{2,12}[0-9]?", re.ASCII)
_MOST: Final = 60
_LONG_ENOUGH: Final = 4

_WANTED: Final = {
    "side": ("BUY", "SELL", "LONG", "SHORT"),
    "stop_loss": ("SL", "STOPLOSS", "STOP"),
    "take_profit": ("TP", "TARGET", "TARGETS", "TAKEPROFIT"),
}
# Letters that look like others or lie beside them, where one slip makes another short word.
_CONFUSED: Final = {"stop_loss": {"SI": "SL", "S1": "SL", "SK": "SL"}, "take_profit": {"TB": "TP", "TO": "TP"}}


def _slips(word: str) -> Iterator[str]:
    """Two letters swapped, one doubled and, where enough is left to recognise, one missing."""
    for i in range(len(word)):
        yield word[:i] + word[i] * 2 + word[i + 1 :]
        if i + 1 < len(word):
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        if len(word) >= _LONG_ENOUGH:
            yield word[:i] + word[i + 1 :]


_MEANT: Final = {
    field: {slip: word for word in words for slip in _slips(word) if slip not in words} | _CONFUSED.get(field, {})
    for field, words in _WANTED.items()
}


def did_you_mean(draft: Draft, field: str) -> str:
    """` Did you mean BUY where it says BYU?`, or nothing."""
    meant = _MEANT[field]
    for word in _WORDS.findall(draft.text.clean)[:_MOST]:
        if word.upper() in meant:
            return f" Did you mean {meant[word.upper()]} where it says {word}?"
    return ""
