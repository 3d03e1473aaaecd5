"""The cost of parsing a signal, as a multiple of decoding the same signal from JSON into its struct with msgspec.

Both are timed alternately within one run, in processor time, and the best of each counts: other work on the machine can
only add. The texts are the cases of `tests/grammar`.
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
from signalhub.grammar import ParsedSignal, parse
from signalhub.grammar.parser import parse_slow_path

BASE_FORM: Final = b"BUY EURUSD @1.0860\nSL 1.0850\nTP 1.0890"
CASES_PATH: Final = Path(__file__).parents[1] / "grammar" / "accepted.jsonl"
MAX_BASE_RATIO: Final = 15.0
MAX_CASE_RATIO: Final = 150.0
MAX_GROWTH_RATIO: Final = 2.0  # times the cost of a character, from 4 KiB to 15 KiB

_decode_signal: Final = msgspec.json.Decoder(Signal).decode


def measure_ratio(work: Callable[[], object], signal: Signal, rounds: int) -> tuple[float, float]:
    """Return the duration of `work` as a multiple of decoding the signal, and in microseconds."""
    encoded = msgspec.json.encode(signal)
    worker = Timer(work, timer=process_time)
    decoder = Timer(partial(_decode_signal, encoded), timer=process_time)
    best = reference = float("inf")
    for _ in range(rounds):
        best = min(best, worker.timeit(20) / 20)
        reference = min(reference, decoder.timeit(200) / 200)
    return best / reference, best * 1e6


def parse_signal(raw: bytes) -> Signal:
    result = parse(raw)
    if not isinstance(result, ParsedSignal):
        raise TypeError(f"This case should be accepted: {raw!r}")
    return result.signal


def measure_growth(prefix: bytes, unit: bytes, rounds: int) -> float:
    """Return the cost of a character in a long text divided by that in a short one."""
    costs = []
    for size in (4096, 15 * 1024):
        raw = prefix + unit * ((size - len(prefix)) // len(unit))
        timer = Timer(partial(parse, raw), timer=process_time)
        costs.append(min(timer.timeit(1) for _ in range(rounds)) / len(raw))
    return costs[1] / costs[0]


def print_row(name: str, value: float, maximum: float | None, detail: str = "") -> bool:
    target = "" if maximum is None else f"at most {maximum:g}"
    is_met = maximum is None or value <= maximum
    sys.stdout.write(f"| {name:<34} | {value:>8.1f} | {target:<12} | {'yes' if is_met else 'NO':<3} | {detail:<24} |\n")
    return is_met


def main(rounds: int = 60) -> bool:
    """Print the table; return whether every target is met."""
    sys.stdout.write(f"| {'':<34} | {'times':>8} | {'target':<12} | met | {'':<24} |\n")
    sys.stdout.write(f"| {'-' * 34} | {'-' * 8} | {'-' * 12} | --- | {'-' * 24} |\n")
    base, base_us = measure_ratio(partial(parse, BASE_FORM), parse_signal(BASE_FORM), rounds)
    general, general_us = measure_ratio(partial(parse_slow_path, BASE_FORM), parse_signal(BASE_FORM), rounds)
    met = print_row("base form", base, MAX_BASE_RATIO, f"{base_us:.1f} µs")
    met &= print_row("base form, the general way", general, None, f"{general_us:.1f} µs")
    texts = [json.loads(line)["text"].encode() for line in CASES_PATH.open(encoding="utf-8")]
    _, _, text = max(
        (*measure_ratio(partial(parse, raw), parse_signal(raw), max(3, rounds // 6)), raw) for raw in texts
    )
    worst, worst_us = measure_ratio(partial(parse, text), parse_signal(text), rounds)
    met &= print_row("costliest case", worst, MAX_CASE_RATIO, f"{worst_us:.0f} µs, {len(text)} bytes")
    growth = max(
        measure_growth(b"BUY EURUSD ", unit, rounds // 6 + 2) for unit in (b"SL 1.08 ", b"@ ", b"word ", b"TP 1, ")
    )
    met &= print_row("cost of a character, 15 KiB : 4", growth, MAX_GROWTH_RATIO)
    return met


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
