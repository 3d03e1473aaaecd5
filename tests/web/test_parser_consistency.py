"""The ingest routes, the parse endpoint and `signalhub parse` give the same result for a text."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.kit.account_client import AccountClient

_CASES = Path(__file__).parents[1] / "grammar"
TINY_PRICES = "BUY PEPEUSDT @ 0.000000215\nSL 0.000000200\nTP 0.000000250"


def _read_texts() -> list[str]:
    lines = [line for name in ("accepted", "refused") for line in (_CASES / f"{name}.jsonl").open(encoding="utf-8")]
    return [TINY_PRICES, *(json.loads(line)["text"] for line in lines)]


def _parse_by_command(texts: list[str]) -> list[Any]:
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    command = [sys.executable, "-m", "signalhub", "parse", "--jsonl"]
    completed = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)  # noqa: S603 - our own
    return [json.loads(line) for line in completed.stdout.splitlines()]


async def test_ingest_parse_endpoint_and_command_agree(account: AccountClient) -> None:
    texts = _read_texts()
    for text, parsed in zip(texts, _parse_by_command(texts), strict=True):
        sent = (await account.request("POST", "/api/v1/signals", content=text)).json()
        explained = (await account.request("POST", "/api/v1/signals/parse", content=text)).json()
        assert parsed["ok"] is explained["ok"] is ("order_id" in sent), text
        if parsed["ok"]:
            assert parsed["signal"] == explained["signal"] == sent["signal"], text
        else:
            assert parsed["errors"] == explained["problems"] == sent["errors"], text
