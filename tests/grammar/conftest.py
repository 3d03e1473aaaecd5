"""Load the cases of the grammar: one JSON object a line in `accepted.jsonl` and `refused.jsonl`."""

import json
from pathlib import Path

import pytest

CASES_DIR = Path(__file__).parent
CASES = {name: [json.loads(line) for line in (CASES_DIR / f"{name}.jsonl").open()] for name in ("accepted", "refused")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test with an `accepted` or `refused` argument once for each case."""
    for name, cases in CASES.items():
        if name in metafunc.fixturenames:
            ids = [f"{case['family']}-{number}" for number, case in enumerate(cases, 1)]
            metafunc.parametrize(name, cases, ids=ids)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Return the texts of all cases, accepted and refused."""
    return [case["text"] for cases in CASES.values() for case in cases]
