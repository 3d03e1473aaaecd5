"""Fuzz the grammar with mutated signals: `python tests/grammar/fuzz.py [inputs] [seed]`.

The seeds are the test cases. Atheris keeps each input that reaches a new branch and mutates it further. For any input
the parser must answer in time, positions must lie in the text, each price must consist of digits of the text, and the
canonical text of an accepted signal must parse to the same signal. A violation is printed and ends with status 1.
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

# A second, instrumented copy guides the fuzzer. Timing uses the first, because the branch counters are slow.
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
"""tests/grammar/test_linear_time.py covers longer texts."""
_MAX_TIMING_ATTEMPTS = 20


def load_case_texts() -> list[str]:
    lines = [line for name in ("accepted", "refused") for line in (CASES_DIR / f"{name}.jsonl").open(encoding="utf-8")]
    return [json.loads(line)["text"] for line in lines]


def damage_text(rng: random.Random, text: str) -> str:
    """Make one to four changes in the text, or in a mix of it and another."""
    if rng.random() < 0.1:
        other = rng.choice(CASE_TEXTS)
        text = text[: rng.randint(0, len(text))] + other[rng.randint(0, len(other)) :]
    pieces = re.findall(r"\w+|\s+|.", text) or [""]
    for _ in range(rng.randint(1, 4)):
        index = rng.randrange(len(pieces))
        match rng.randrange(5):
            case 0:
                pieces[index] = ""
            case 1:
                pieces[index] *= 2
            case 2:
                pieces.insert(index, rng.choice(INSERTIONS))
            case 3:
                other_index = rng.randrange(len(pieces))
                pieces[index], pieces[other_index] = pieces[other_index], pieces[index]
            case _:
                split = rng.randint(0, len(pieces[index]))
                pieces[index] = pieces[index][:split] + rng.choice("0123456789. ,-aSTL\n") + pieces[index][split:]
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
    reparsed = parse(to_canonical_text(result.signal).encode())
    if not isinstance(reparsed, ParsedSignal) or reparsed.signal != result.signal:
        return "the canonical text is another signal"
    return _find_invented_price(raw.decode(), result)


def _is_slow(raw: bytes) -> bool:
    """Measure again, with the limit scaled by how slow the reference text is at the moment on a loaded machine."""
    for _ in range(_MAX_TIMING_ATTEMPTS):
        load_factor = _measure_seconds(_REFERENCE_TEXT) / _REFERENCE_S
        if _measure_seconds(raw) <= _limit_s(raw) * load_factor:
            return False
        sleep(0.05)
    return True


def _measure_seconds(raw: bytes) -> float:
    """Return the least processor time of five runs."""
    best = float("inf")
    for _ in range(5):
        start = process_time()
        parse(raw)
        best = min(best, process_time() - start)
    return best


def _limit_s(raw: bytes) -> float:
    """Return 1 ms plus 1 ms for each KiB: the densest texts have a token in each byte."""
    return 0.001 * (1 + len(raw) / 1024)


_REFERENCE_TEXT = b"Buy gold 2345 SL 2340 TP 2350\n" + b"and hold it above the old high at 2360 or so\n" * 22
_REFERENCE_S = 0.00075
"""Time of the reference text on the machine that the limits were set on. Other machines are held to the same ratio."""


def _find_invented_price(text: str, result: ParsedSignal) -> str | None:
    """Describe a price that no part of the text shows, or a part with a wrong position."""
    part_values = {part.value for part in result.parts}
    signal = result.signal
    for price in (signal.entry, signal.entry_high, signal.stop_loss, *signal.take_profits):
        if price is not None and format_decimal(price) not in part_values:
            return f"{price} is shown by no part"
    if text.startswith("{"):
        return None
    misplaced = [part for part in result.parts if text[part.start : part.start + part.length] != part.text]
    return f"{misplaced[0]} is not there" if misplaced else None


def mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
    """Mutate the text as people and copying software damage it, and in one of five cases at the level of bytes."""
    rng = random.Random(seed)  # noqa: S311 - no secret depends on it
    if rng.random() < 0.2:
        return bytes(atheris.Mutate(data, max_bytes))
    return damage_text(rng, data.decode(errors="replace")).encode()[:max_bytes]


def check(raw: bytes) -> None:
    violation = find_violation(raw)
    if violation is not None:
        sys.stdout.write(f"{violation}:\n{raw!r}\n")
        raise AssertionError(violation)


def main() -> None:
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with TemporaryDirectory() as seeds_dir:
        for number, text in enumerate(CASE_TEXTS):
            (Path(seeds_dir) / str(number)).write_bytes(text.encode())
        options = [
            f"-runs={inputs}",
            f"-seed={seed}",
            f"-max_len={MAX_INPUT_BYTES}",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        atheris.Setup(
            [sys.argv[0], *options, f"-artifact_prefix={seeds_dir}/", seeds_dir], check, custom_mutator=mutate
        )
        atheris.Fuzz()


CASE_TEXTS = load_case_texts()

if __name__ == "__main__":
    main()
