"""Accepted signals, one case for each line of `accepted.jsonl`."""

from decimal import Decimal
from typing import Any

from signalhub.domain.instruments import INSTRUMENTS
from signalhub.domain.signal import Signal, format_decimal, to_signal_view
from signalhub.grammar import ParsedSignal, explain, parse

Case = dict[str, Any]


def format_signal(signal: Signal) -> str:
    """Return the signal in the shorthand of `accepted.jsonl`."""
    words = [signal.side.value, signal.symbol, signal.order_type.value]
    if signal.entry is not None:
        words.append(format_decimal(signal.entry))
    if signal.entry_high is not None:
        words[-1] += f"-{format_decimal(signal.entry_high)}"
    words += ["SL", format_decimal(signal.stop_loss), "TP", ",".join(map(format_decimal, signal.take_profits))]
    return " ".join([*words, "QTY", format_decimal(signal.quantity)] if signal.quantity != 1 else words)


def parse_signal(text: str) -> ParsedSignal:
    result = parse(text.encode())
    assert isinstance(result, ParsedSignal), result
    return result


def test_accepted_text_parses_to_expected_signal(accepted: Case) -> None:
    result = parse_signal(accepted["text"])
    assert format_signal(result.signal) == accepted["is"]
    assert (result.signal.symbol in INSTRUMENTS) is accepted.get("known", True)


def test_directives_are_extracted_from_the_text(accepted: Case) -> None:
    result = parse_signal(accepted["text"])
    assert (result.client_id, result.simulate) == (accepted.get("client_id"), accepted.get("simulate"))


def test_symbol_part_shows_the_written_symbol(accepted: Case) -> None:
    if "written" in accepted:
        symbols = [part.text for part in parse_signal(accepted["text"]).parts if part.kind == "symbol"]
        assert symbols == [accepted["written"]]


def test_explain_agrees_with_parse_on_accepted_text(accepted: Case) -> None:
    explanation = explain(accepted["text"].encode())
    assert explanation.ok
    assert explanation.signal == to_signal_view(parse_signal(accepted["text"]).signal)
    assert explanation.problems == ()


def test_prices_keep_trailing_zeros() -> None:
    signal = parse_signal("BUY EURUSD @1.08600\nSL 1.0850\nTP 1.089000").signal
    assert str(signal.entry) == "1.08600"
    assert str(signal.take_profits[0]) == "1.089000"


def test_ignored_text_is_reported_with_its_reason() -> None:
    result = parse_signal("SIGNAL 4\nBUY EURUSD @1.0860\nSL 1.0850\nTP 1.0890\nJoin us, 300 members")
    assert [(ignored.text, ignored.line) for ignored in result.ignored] == [("Join us, 300 members", 5)]
    assert result.ignored[0].reason == "It comes after the last level."


def test_text_without_a_level_has_nothing_after_the_last_level() -> None:
    for text in ("good morning everybody", "BUY EURUSD\nsee you later", "Adjust SL + 20 pips for now to 4505."):
        assert "level" not in " ".join(ignored.reason for ignored in explain(text.encode()).ignored), text


def test_explanation_says_everything_once(texts: list[str]) -> None:
    for text in texts:
        explanation = explain(text.encode(errors="surrogatepass"))
        assert len(set(explanation.notes)) == len(explanation.notes), text
        parts = [(part.kind, part.start) for part in explanation.parts if part.length]
        assert len(set(parts)) == len(parts), text


def test_leverage_and_risk_become_notes() -> None:
    result = parse_signal("LONG SOLUSDT\nEntry 142\nSL 138\nTP 150\nLeverage: 10x\nRisk 2%")
    assert result.notes == ("Leverage: 10x", "Risk 2%")
    assert result.signal.quantity == 1


def test_number_of_thousands_of_digits_in_a_caption_is_ignored() -> None:
    result = parse_signal(f"Account {'1' * 5000} here\nBUY EURUSD\nSL 1.05\nTP 1.09")
    assert result.signal.take_profits == (Decimal("1.09"),)
