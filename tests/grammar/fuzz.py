"""Throw damaged signals at the grammar: `python tests/grammar/fuzz.py [inputs] [seed]`.

The texts are the cases of the tests, cut, doubled, swapped and mixed, by Atheris: what reaches a branch that nothing
reached before is kept, and damaged further. Whatever comes out, the grammar must answer in time, its
places must lie in the text, every price must be made of digits that stand there, and what is accepted must survive its
own rewrite. A text that breaks a promise is printed, and the exit status is not 0.
"""

import json
import random
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time, sleep

import atheris

from signalhub.domain.signal import format_decimal
from signalhub.grammar import ParsedSignal, explain, parse, to_canonical_text

# The same once more, with a counter in every branch: those guide, and take their time.
for name in [name for name in sys.modules if name.startswith("signalhub.grammar")]:
    del sys.modules[name]
with atheris.instrument_imports(include=["signalhub.grammar"]):
    from signalhub.grammar import parse as parse_and_count

CASES_DIR = Path(__file__).parent
INSERTIONS = [
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
MAX_INPUT_BYTES = 1024
"""Longer texts are what tests/grammar/test_linear.py is for."""
_MAX_TIMING_ATTEMPTS = 20


def load_case_texts() -> list[str]:
    lines = [line for name in ("accepted", "refused") for line in (CASES_DIR / f"{name}.jsonl").open(encoding="utf-8")]
    return [json.loads(line)["text"] for line in lines]


def damage_text(rng: random.Random, text: str) -> str:
    """One to four wounds in the text, or in one sewn together of it and another."""
    if rng.random() < 0.1:
        other = rng.choice(CASE_TEXTS)
        text = text[: rng.randint(0, len(text))] + other[rng.randint(0, len(other)) :]
    pieces = re.findall(r"\w+|\s+|.", text) or [""]
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(pieces))
        match rng.randrange(5):
            case 0:
                pieces[at] = ""
            case 1:
                pieces[at] *= 2
            case 2:
                pieces.insert(at, rng.choice(INSERTIONS))
            case 3:
                other_at = rng.randrange(len(pieces))
                pieces[at], pieces[other_at] = pieces[other_at], pieces[at]
            case _:
                place = rng.randint(0, len(pieces[at]))
                pieces[at] = pieces[at][:place] + rng.choice("0123456789. ,-aSTL\n") + pieces[at][place:]
    return "".join(pieces)


def find_violation(raw: bytes) -> str | None:
    parse_and_count(raw)
    start = process_time()
    result = parse(raw)
    if process_time() - start > _limit_s(raw) and _is_slow(raw):
        return "slow"
    explanation = explain(raw)
    if isinstance(result, ParsedSignal) is not explanation.ok:
        return "parse and explain disagree"
    if not isinstance(result, ParsedSignal):
        return None if result.problems else "refused without a problem"
    again = parse(to_canonical_text(result.signal).encode())
    if not isinstance(again, ParsedSignal) or again.signal != result.signal:
        return "the rewrite is another signal"
    return _find_invented_price(raw.decode(), result)


def _is_slow(raw: bytes) -> bool:
    """Over the limit on a core of its own: the yardstick tells how much of one there is at the moment."""
    for _ in range(_MAX_TIMING_ATTEMPTS):
        share = _measure_seconds(_REFERENCE_TEXT) / _REFERENCE_S
        if _measure_seconds(raw) <= _limit_s(raw) * share:
            return False
        sleep(0.05)
    return True


def _measure_seconds(raw: bytes) -> float:
    """The best of several counts."""
    best = float("inf")
    for _ in range(5):
        start = process_time()
        parse(raw)
        best = min(best, process_time() - start)
    return best


def _limit_s(raw: bytes) -> float:
    """A millisecond, and one more for each KiB: the densest texts have a token in each byte."""
    return 0.001 * (1 + len(raw) / 1024)


_REFERENCE_TEXT = b"Buy gold 2345 SL 2340 TP 2350\n" + b"and hold it above the old high at 2360 or so\n" * 22
_REFERENCE_S = 0.00075
"""What the yardstick takes on the machine whose milliseconds are meant. Others are held to the same ratio."""


def _find_invented_price(text: str, result: ParsedSignal) -> str | None:
    """A price that no part of the text shows, or a part that is not where it says."""
    shown = {part.value for part in result.parts}
    signal = result.signal
    for price in (signal.entry, signal.entry_high, signal.stop_loss, *signal.take_profits):
        if price is not None and format_decimal(price) not in shown:
            return f"{price} is shown by no part"
    if text.startswith("{"):
        return None
    moved = [part for part in result.parts if text[part.start : part.start + part.length] != part.text]
    return f"{moved[0]} is not there" if moved else None


def mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
    """Wounds that a account, a copier or a channel would inflict; now and then any that bytes can have."""
    dice = random.Random(seed)  # noqa: S311 - dice, not secrets
    if dice.random() < 0.2:
        return bytes(atheris.Mutate(data, max_bytes))
    return damage_text(dice, data.decode(errors="replace")).encode()[:max_bytes]


def check(raw: bytes) -> None:
    complaint = find_violation(raw)
    if complaint is not None:
        sys.stdout.write(f"{complaint}:\n{raw!r}\n")
        raise AssertionError(complaint)


def main() -> None:
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with TemporaryDirectory() as stock:
        for number, text in enumerate(CASE_TEXTS):
            (Path(stock) / str(number)).write_bytes(text.encode())
        options = [
            f"-runs={inputs}",
            f"-seed={seed}",
            f"-max_len={MAX_INPUT_BYTES}",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={stock}/", stock], check, custom_mutator=mutate)
        atheris.Fuzz()


CASE_TEXTS = load_case_texts()

if __name__ == "__main__":
    main()
