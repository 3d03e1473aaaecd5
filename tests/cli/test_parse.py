"""`signalhub parse`, which needs no service and few imports."""

import json
import subprocess
import sys

from click.testing import CliRunner

from signalhub.cli.parse import parse
from signalhub.domain import identifiers
from tests.cli.conftest import RunCommand
from tests.kit.signal_texts import BUY, STOP_ON_WRONG_SIDE

VIEW = {
    "side": "BUY",
    "symbol": "EURUSD",
    "order_type": "LIMIT",
    "entry": "1.0860",
    "entry_high": None,
    "stop_loss": "1.0850",
    "take_profits": ["1.0890"],
    "quantity": "1",
}


def test_signal_parts_are_printed_with_positions() -> None:
    result = CliRunner().invoke(parse, ["-"], input=BUY)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "BUY EURUSD @ 1.0860, SL 1.0850, TP 1.0890"
    assert "stop_loss    1.0850           2:4 1.0850" in result.stdout


def test_problem_has_a_caret_under_it() -> None:
    result = CliRunner().invoke(parse, [], input=STOP_ON_WRONG_SIDE)
    assert result.exit_code == 1
    assert "   2 | SL 1.0890\n          ^^^^^^\n      A BUY needs" in result.stdout


def test_caret_accounts_for_wide_characters_and_json_wrapper() -> None:
    result = CliRunner().invoke(parse, [], input=json.dumps({"signal": "🚀 BUY EURUSD @ 1.0860 SL 1.0890 TP 1.0900"}))
    line, caret = result.stdout.split("   1 | ")[1].splitlines()[:2]
    # One character of two columns stands before.
    assert caret.index("^") - len("   1 | ") == line.index("1.0890") + 1


def test_control_characters_are_not_printed() -> None:
    result = CliRunner().invoke(parse, [], input="BUY \x1b[2JEURUSD SL 1 TP 2")
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout


def test_jsonl_line_gets_its_verdict(run_in_subprocess: RunCommand) -> None:
    lines = [json.dumps({"text": BUY}), json.dumps({"text": STOP_ON_WRONG_SIDE}), "{", json.dumps({"text": 7})]
    done = run_in_subprocess("parse", "--jsonl", stdin="\n".join(lines) + "\n\n")
    good, bad, *malformed = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0
    assert good == {"ok": True, "signal": VIEW}
    assert [(one["code"], one["line"], one["column"], one["text"]) for one in bad["errors"]] == [
        ("sl_wrong_side", 2, 4, "1.0890")
    ]
    assert list(bad) == ["ok", "errors"]
    assert [one["errors"][0]["code"] for one in malformed] == ["malformed_json"] * 2


def test_invalid_utf8_is_a_problem() -> None:
    result = CliRunner().invoke(parse, ["--json"], input=b"BUY \xff")
    assert (result.exit_code, json.loads(result.stdout)["problems"][0]["code"]) == (1, "not_utf8")


def test_parsing_loads_no_server_no_database_and_no_table() -> None:
    code = "import sys; from signalhub.cli.main import signalhub as s; s(['parse', 'BUY'], standalone_mode=False)"
    heavy = ("litestar", "granian", "sqlalchemy", "redis", "dramatiq", "httpx", "rich", "asyncio", "structlog")
    wrapped = (
        f"import atexit, sys; atexit.register(lambda: print(set({heavy}) & set(sys.modules), file=sys.stderr)); {code}"
    )
    done = subprocess.run([sys.executable, "-c", wrapped], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.stderr.splitlines()[-1] == "set()"


def test_note_is_printed_once() -> None:
    result = CliRunner().invoke(parse, ["-"], input=f"{BUY}\nRisk 2%")
    assert result.exit_code == 0
    assert result.stdout.count("Risk 2%") == 1


def test_secret_is_not_printed() -> None:
    key = identifiers.mint_token(identifiers.API_KEY_PREFIX, bytes(range(48))).text
    for options in ([], ["--json"]):
        result = CliRunner().invoke(parse, [*options, "-"], input=f"BUY {key}\nSL 1")
        assert key.rpartition("_")[2] not in result.output
        assert "credential_masked" in result.output or "was masked" in result.output
