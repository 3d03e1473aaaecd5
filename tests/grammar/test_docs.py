"""docs/grammar.md lists every problem code, and its examples parse."""

import re
from pathlib import Path

from signalhub.domain.errors import GRAMMAR_ERRORS
from signalhub.grammar import ParsedSignal, parse
from signalhub.grammar.formats.json import FIELD_BY_KEY

GRAMMAR_PAGE = (Path(__file__).parents[2] / "docs" / "grammar.md").read_text(encoding="utf-8")


def test_grammar_page_lists_every_problem_code() -> None:
    assert [code for code in GRAMMAR_ERRORS if f"`{code}`" not in GRAMMAR_PAGE] == []


def test_first_example_is_accepted() -> None:
    example = re.search(r"```text\n(.*?)```", GRAMMAR_PAGE, re.DOTALL)
    assert example is not None
    assert isinstance(parse(example[1].encode()), ParsedSignal)


def test_tradingview_examples_are_accepted_once_filled() -> None:
    values = {
        "{{strategy.order.action}}": "buy",
        "{{ticker}}": "EURUSD",
        "{{close}}": "1.0860",
        '{{plot("SL")}}': "1.0850",
        '{{plot("TP")}}': "1.0890",
        "{{timenow}}": "2026-01-01T00:00:00Z",
    }
    section = GRAMMAR_PAGE.partition("TradingView alert")[2].partition("\n## ")[0]
    for example in re.findall(r"```(?:text|json)\n(.*?)```", section, re.DOTALL):
        text = example
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        result = parse(text.encode())
        assert isinstance(result, ParsedSignal), (text, result)
        assert result.client_id == "EURUSD-2026-01-01T00:00:00Z"


def test_documented_alert_keys_are_known() -> None:
    section = GRAMMAR_PAGE.partition("## JSON")[2].partition("\n## ")[0]
    keys = {re.sub("[_-]", "", key.lower()) for key in re.findall(r"`([A-Za-z_]+)`", section)}
    assert {"entry", "stoploss", "takeprofit", "limitprice", "qty", "pair", "id", "sim"} <= keys & FIELD_BY_KEY.keys()
