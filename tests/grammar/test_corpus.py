"""Accuracy on the shared corpus of signal texts. Skipped where the corpus is missing."""

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from signalhub.grammar import ParsedSignal, parse

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "signals.jsonl"
MIN_ACCURACY_BY_TIER = {1: 1.0, 2: 0.99, 3: 0.92}

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")


def build_text(case: dict[str, Any]) -> str:
    generated = case.get("gen")
    return (
        generated["prefix"] + generated["unit"] * generated["count"] + generated["suffix"]
        if generated
        else str(case["text"])
    )


def matches_expectation(text: str, expected: dict[str, Any]) -> bool:
    result = parse(text.encode(errors="surrogatepass"))
    if not isinstance(result, ParsedSignal) or not expected["ok"]:
        return isinstance(result, ParsedSignal) is bool(expected["ok"])
    signal = result.signal
    actual = (signal.side, signal.symbol, signal.entry, signal.entry_high, signal.stop_loss, list(signal.take_profits))
    entry, high = (None if expected[key] is None else Decimal(expected[key]) for key in ("entry", "entry_high"))
    levels = [Decimal(price) for price in expected["tp"]]
    is_equal = actual == (expected["side"], expected["symbol"], entry, high, Decimal(expected["sl"]), levels)
    return bool(is_equal and expected.get("order_type") in (None, signal.order_type))


def test_corpus_accuracy_meets_goal_of_each_tier() -> None:
    right, total = Counter[int](), Counter[int]()
    for case in map(json.loads, CORPUS.open()):
        total[case["tier"]] += 1
        right[case["tier"]] += any(
            matches_expectation(build_text(case), expected) for expected in [case["expect"], *case.get("alt", [])]
        )
    assert {tier: right[tier] >= goal * total[tier] for tier, goal in MIN_ACCURACY_BY_TIER.items()} == dict.fromkeys(
        MIN_ACCURACY_BY_TIER, True
    )
