"""What reading a signal costs, beside what msgspec needs to decode the same signal from JSON into its struct.

Both are timed in turns within one run, in processor time, and the best of each counts: other work on the machine only
ever adds. The texts are the cases of `tests/grammar`.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time
from timeit import Timer
from typing import Final

import msgspec

from signalhub.domain.signal import Signal
from signalhub.grammar import Understood, parse
from signalhub.grammar.reading import parse_generally

BASE: Final = b"BUY EURUSD @1.0860\nSL 1.0850\nTP 1.0890"
CASES: Final = Path(__file__).parents[1] / "grammar" / "accepted.jsonl"
MOST_FOR_BASE: Final = 15.0
MOST_FOR_ANY: Final = 150.0
MOST_FOR_LENGTH: Final = 2.0  # times the cost of a character, from 4 KiB to 15 KiB

_decode: Final = msgspec.json.Decoder(Signal).decode


def ratio(work: Callable[[], object], signal: Signal, rounds: int) -> tuple[float, float]:
    """How many decodings of the signal the work takes, and its microseconds."""
    encoded = msgspec.json.encode(signal)
    worker = Timer(work, timer=process_time)
    decoder = Timer(partial(_decode, encoded), timer=process_time)
    best = reference = float("inf")
    for _ in range(rounds):
        best = min(best, worker.timeit(20) / 20)
        reference = min(reference, decoder.timeit(200) / 200)
    return best / reference, best * 1e6


def signal_of(raw: bytes) -> Signal:
    result = parse(raw)
    if not isinstance(result, Understood):
        raise TypeError(f"This case should be accepted: {raw!r}")
    return result.signal


def growth(prefix: bytes, unit: bytes, rounds: int) -> float:
    """The cost of a character in a long text over that in a short one."""
    costs = []
    for size in (4096, 15 * 1024):
        raw = prefix + unit * ((size - len(prefix)) // len(unit))
        timer = Timer(partial(parse, raw), timer=process_time)
        costs.append(min(timer.timeit(1) for _ in range(rounds)) / len(raw))
    return costs[1] / costs[0]


def row(name: str, value: float, most: float | None, detail: str = "") -> bool:
    target = "" if most is None else f"at most {most:g}"
    is_met = most is None or value <= most
    sys.stdout.write(f"| {name:<34} | {value:>8.1f} | {target:<12} | {'yes' if is_met else 'NO':<3} | {detail:<24} |\n")
    return is_met


def main(rounds: int = 60) -> bool:
    """Print the table; say whether every target is met."""
    sys.stdout.write(f"| {'':<34} | {'times':>8} | {'target':<12} | met | {'':<24} |\n")
    sys.stdout.write(f"| {'-' * 34} | {'-' * 8} | {'-' * 12} | --- | {'-' * 24} |\n")
    base, base_us = ratio(partial(parse, BASE), signal_of(BASE), rounds)
    general, general_us = ratio(partial(parse_generally, BASE), signal_of(BASE), rounds)
    met = row("base form", base, MOST_FOR_BASE, f"{base_us:.1f} µs")
    met &= row("base form, the general way", general, None, f"{general_us:.1f} µs")
    texts = [json.loads(line)["text"].encode() for line in CASES.open(encoding="utf-8")]
    worst, us, text = max((*ratio(partial(parse, raw), signal_of(raw), max(3, rounds // 6)), raw) for raw in texts)
    worst, us = ratio(partial(parse, text), signal_of(text), rounds)
    met &= row("costliest case", worst, MOST_FOR_ANY, f"{us:.0f} µs, {len(text)} bytes")
    grown = max(growth(b"BUY EURUSD ", unit, rounds // 6 + 2) for unit in (b"SL 1.08 ", b"@ ", b"word ", b"TP 1, "))
    met &= row("cost of a character, 15 KiB : 4", grown, MOST_FOR_LENGTH)
    return met


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
