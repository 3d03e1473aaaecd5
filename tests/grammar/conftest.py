"""The cases of the grammar, as data: one JSON object a line, so that a new one is one line more."""

import json
from pathlib import Path

import pytest

CASES_DIR = Path(__file__).parent
CASES = {name: [json.loads(line) for line in (CASES_DIR / f"{name}.jsonl").open()] for name in ("accepted", "refused")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that asks for an `accepted` or a `refused` case once for each of them."""
    for name, cases in CASES.items():
        if name in metafunc.fixturenames:
            ids = [f"{case['family']}-{number}" for number, case in enumerate(cases, 1)]
            metafunc.parametrize(name, cases, ids=ids)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Every case text, accepted or not."""
    return [case["text"] for cases in CASES.values() for case in cases]
