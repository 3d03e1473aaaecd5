"""Throw damaged signals at the grammar: `python tests/grammar/fuzz.py [inputs] [seed]`.

The texts are the cases of the tests, cut, doubled, swapped and mixed. Whatever comes out, the grammar must answer, its
places must lie in the text, every price must be made of digits that stand there, and what is accepted must survive its
own rewrite. A text that breaks a promise is printed, and the exit status is 1.
"""

import json
import random
import re
import sys
from pathlib import Path
from time import perf_counter

from signalhub.domain.signal import plain
from signalhub.grammar import Understood, explain, parse, rewrite

HERE = Path(__file__).parent
SPICES = [
    *(
        "BUY",
        "SELL",
        "SL",
        "TP",
        "TP1",
        "@",
        "Entry:",
        "NOW",
        "LIMIT",
        "STOP",
        "GOLD",
        "EURUSD",
        "1.0860",
        "2345",
        "60,000",
    ),
    *(
        "-",
        "/",
        ",",
        ".",
        ":",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "$",
        "%",
        "#",
        "\n",
        "\n\n",
        "\r",
        "\t",
        "🔥",
        "1️⃣",
    ),
    *(
        "pips",
        "x",
        "k",
        "hit",
        "close",
        "not",
        "if",
        "open",
        "lot 0.1",
        "#id a",
        "\u200b",
        "\u202e",
        "\u0435",
        "\x00",
        "\u0661",
    ),
]
SLOWEST = 0.25


def texts() -> list[str]:
    lines = [line for name in ("accepted", "refused") for line in (HERE / f"{name}.jsonl").open(encoding="utf-8")]
    return [json.loads(line)["text"] for line in lines]


def damaged(dice: random.Random, stock: list[str]) -> str:
    """One to four wounds in a text, or a text sewn together of two."""
    text = dice.choice(stock)
    if dice.random() < 0.1:
        other = dice.choice(stock)
        text = text[: dice.randint(0, len(text))] + other[dice.randint(0, len(other)) :]
    pieces = re.findall(r"\w+|\s+|.", text) or [""]
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(pieces))
        match dice.randrange(5):
            case 0:
                pieces[at] = ""
            case 1:
                pieces[at] *= 2
            case 2:
                pieces.insert(at, dice.choice(SPICES))
            case 3:
                other_at = dice.randrange(len(pieces))
                pieces[at], pieces[other_at] = pieces[other_at], pieces[at]
            case _:
                place = dice.randint(0, len(pieces[at]))
                pieces[at] = pieces[at][:place] + dice.choice("0123456789. ,-aSTL\n") + pieces[at][place:]
    return "".join(pieces)


def broken_promise(text: str) -> str | None:
    raw = text.encode()
    start = perf_counter()
    result, explanation = parse(raw), explain(raw)
    if perf_counter() - start > SLOWEST:
        return "slow"
    if isinstance(result, Understood) is not explanation.ok:
        return "parse and explain disagree"
    if not isinstance(result, Understood):
        return None if result.problems else "refused without a problem"
    again = parse(rewrite(result.signal).encode())
    if not isinstance(again, Understood) or again.signal != result.signal:
        return "the rewrite is another signal"
    return _invented(text, result)


def _invented(text: str, result: Understood) -> str | None:
    """A price that no part of the text shows, or a part that is not where it says."""
    shown = {part.value for part in result.parts}
    signal = result.signal
    for price in (signal.entry, signal.entry_high, signal.stop_loss, *signal.take_profits):
        if price is not None and plain(price) not in shown:
            return f"{price} is shown by no part"
    if text.startswith("{"):
        return None
    moved = [part for part in result.parts if text[part.start : part.start + part.length] != part.text]
    return f"{moved[0]} is not there" if moved else None


def main() -> int:
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    dice, stock, accepted = random.Random(seed), texts(), 0  # noqa: S311  # dice, not secrets
    for _ in range(inputs):
        text = damaged(dice, stock)
        complaint = broken_promise(text)
        if complaint is not None:
            sys.stdout.write(f"{complaint}:\n{text!r}\n")
            return 1
        accepted += isinstance(parse(text.encode()), Understood)
    sys.stdout.write(f"{inputs} texts, seed {seed}: {accepted} accepted, every promise kept\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
