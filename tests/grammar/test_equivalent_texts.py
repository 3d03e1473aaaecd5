"""Changes of case, blanks and decoration, and text around a signal, keep the result of the parser."""

from collections.abc import Callable
from typing import Any

import pytest

from signalhub.domain.signal import Signal
from signalhub.grammar import ParsedSignal, parse

Case = dict[str, Any]

HARMLESS_CHANGES: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "lower case": str.lower,
    "wider blanks": lambda text: text.replace(" ", "  "),
    "tabs": lambda text: text.replace(" ", "\t"),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "line endings of another system": lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n"),
    "blank lines around": lambda text: f"\n\n {text}\n\n\n",
    "emoji before every line": lambda text: "\n".join(f"🟢 {line}" for line in text.split("\n")),
    "emoji after every line": lambda text: "\n".join(f"{line} ✅" for line in text.split("\n")),
    "a greeting": lambda text: f"Good morning accounts!\n{text}",
    "a promotion": lambda text: f"{text}\n\nJoin our VIP room: 500 members, 49$ a month, https://t.me/+x1.0850",
}


def parse_signal(text: str) -> Signal:
    result = parse(text.encode())
    assert isinstance(result, ParsedSignal), (text, result)
    return result.signal


@pytest.mark.parametrize("change", HARMLESS_CHANGES.values(), ids=HARMLESS_CHANGES.keys())
def test_harmless_change_keeps_the_signal(change: Callable[[str], str], accepted: Case) -> None:
    text = accepted["text"]
    if accepted["family"] in ("json", "traderspost", "pineconnector"):
        return
    assert parse_signal(change(text)) == parse_signal(text)


@pytest.mark.parametrize("change", ["upper case", "wider blanks", "emoji before every line", "a promotion"])
def test_harmless_change_keeps_the_refusal(change: str, refused: Case) -> None:
    if refused["family"] not in ("json", "traderspost"):
        assert not isinstance(parse(HARMLESS_CHANGES[change](refused["text"]).encode()), ParsedSignal)
