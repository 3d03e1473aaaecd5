"""Whoever asks about a text - the door, the explaining endpoint, the command - hears the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.kit.account_client import AccountClient

_CASES = Path(__file__).parents[1] / "grammar"
TINY = "BUY PEPEUSDT @ 0.000000215\nSL 0.000000200\nTP 0.000000250"


def _texts() -> list[str]:
    lines = [line for name in ("accepted", "refused") for line in (_CASES / f"{name}.jsonl").open(encoding="utf-8")]
    return [TINY, *(json.loads(line)["text"] for line in lines)]


def _by_command(texts: list[str]) -> list[Any]:
    asked = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    command = [sys.executable, "-m", "signalhub", "parse", "--jsonl"]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)  # noqa: S603 - our own
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_ingest_parse_endpoint_and_command_agree(account: AccountClient) -> None:
    texts = _texts()
    for text, said in zip(texts, _by_command(texts), strict=True):
        sent = (await account.request("POST", "/api/v1/signals", content=text)).json()
        explained = (await account.request("POST", "/api/v1/signals/parse", content=text)).json()
        assert said["ok"] is explained["ok"] is ("order_id" in sent), text
        if said["ok"]:
            assert said["signal"] == explained["signal"] == sent["signal"], text
        else:
            assert said["errors"] == explained["problems"] == sent["errors"], text
