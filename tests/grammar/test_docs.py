"""The page about the grammar tells of every code, and what it shows as a signal is one."""

import re
from pathlib import Path

from signalhub.domain.errors import GRAMMAR
from signalhub.grammar import Understood, parse
from signalhub.grammar.adapters.json import KEYS

PAGE = (Path(__file__).parents[2] / "docs" / "grammar.md").read_text(encoding="utf-8")


def test_every_code_is_on_the_page() -> None:
    assert [code for code in GRAMMAR if f"`{code}`" not in PAGE] == []


def test_the_first_example_is_a_signal() -> None:
    example = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    assert isinstance(parse(example[1].encode()), Understood)


def test_the_examples_for_tradingview_are_signals_once_filled() -> None:
    filled = {
        "{{strategy.order.action}}": "buy",
        "{{ticker}}": "EURUSD",
        "{{close}}": "1.0860",
        '{{plot("SL")}}': "1.0850",
        '{{plot("TP")}}': "1.0890",
        "{{timenow}}": "2026-01-01T00:00:00Z",
    }
    section = PAGE.partition("TradingView alert")[2].partition("\n## ")[0]
    for example in re.findall(r"```(?:text|json)\n(.*?)```", section, re.DOTALL):
        text = example
        for placeholder, value in filled.items():
            text = text.replace(placeholder, value)
        result = parse(text.encode())
        assert isinstance(result, Understood), (text, result)
        assert result.client_id == "EURUSD-2026-01-01T00:00:00Z"


def test_every_key_of_an_alert_is_known_by_the_name_on_the_page() -> None:
    section = PAGE.partition("## JSON")[2].partition("\n## ")[0]
    keys = {re.sub("[_-]", "", key.lower()) for key in re.findall(r"`([A-Za-z_]+)`", section)}
    assert {"entry", "stoploss", "takeprofit", "limitprice", "qty", "pair", "id", "sim"} <= keys & KEYS.keys()
