"""Every family of signals the grammar reads, case by case."""

from typing import Any

from signalhub.domain.signal import Signal, plain, view
from signalhub.grammar import Understood, explain, parse

Case = dict[str, Any]


def said(signal: Signal) -> str:
    """A signal in the shorthand of `accepted.jsonl`."""
    words = [signal.side.value, signal.symbol, signal.order_type.value]
    if signal.entry is not None:
        words.append(plain(signal.entry))
    if signal.entry_high is not None:
        words[-1] += f"-{plain(signal.entry_high)}"
    words += ["SL", plain(signal.stop_loss), "TP", ",".join(map(plain, signal.take_profits))]
    return " ".join([*words, "QTY", plain(signal.quantity)] if signal.quantity != 1 else words)


def understood(text: str) -> Understood:
    result = parse(text.encode())
    assert isinstance(result, Understood), result
    return result


def test_a_signal_is_read_as_what_it_says(accepted: Case) -> None:
    result = understood(accepted["text"])
    assert said(result.signal) == accepted["is"]
    assert result.known_symbol is accepted.get("known", True)


def test_the_words_to_the_hub_are_taken_out_of_the_text(accepted: Case) -> None:
    result = understood(accepted["text"])
    assert (result.client_id, result.simulate) == (accepted.get("client_id"), accepted.get("simulate"))


def test_the_written_symbol_is_kept_beside_the_name(accepted: Case) -> None:
    if "written" in accepted:
        assert understood(accepted["text"]).written_symbol == accepted["written"]


def test_people_are_told_the_same_as_the_webhook(accepted: Case) -> None:
    explanation = explain(accepted["text"].encode())
    assert explanation.ok
    assert explanation.signal == view(understood(accepted["text"]).signal)
    assert explanation.problems == ()


def test_prices_keep_the_digits_they_came_with() -> None:
    signal = understood("BUY EURUSD @1.08600\nSL 1.0850\nTP 1.089000").signal
    assert str(signal.entry) == "1.08600"
    assert str(signal.take_profits[0]) == "1.089000"


def test_what_is_left_out_is_reported_with_its_reason() -> None:
    result = understood("SIGNAL 4\nBUY EURUSD @1.0860\nSL 1.0850\nTP 1.0890\nJoin us, 300 members")
    assert [(left.text, left.line) for left in result.ignored] == [("Join us, 300 members", 5)]
    assert result.ignored[0].reason == "It comes after the last level."


def test_leverage_and_risk_are_noted_and_change_nothing() -> None:
    result = understood("LONG SOLUSDT\nEntry 142\nSL 138\nTP 150\nLeverage: 10x\nRisk 2%")
    assert result.notes == ("Leverage: 10x", "Risk 2%")
    assert result.signal.quantity == 1
