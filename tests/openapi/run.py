"""`just schemathesis [options]`: hold a service of its own to its OpenAPI document, with a key and without.

Options are those of `schemathesis run`, such as `--max-examples 10`; `schemathesis.toml` has what is always set. Exit
status 1 where Schemathesis finds something.
"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, from anywhere

import httpx

from signalhub.settings import Settings
from tests.kit.setting_changes import change_settings
from tests.kit.stack import Stack

ROOT: Final = Path(__file__).parents[2]
_REQUEST_TIMEOUT_S: Final = 10


def run_schemathesis(base_url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run all checks on the service; the seed is fixed, so that the same code gets the same requests."""
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        str(program),
        "--config-file",
        str(ROOT / "schemathesis.toml"),
        "run",
        f"{base_url}/schema/openapi.json",
        "--seed",
        "1",
        "--continue-on-failure",
    ]
    command += ["--request-timeout", str(_REQUEST_TIMEOUT_S), "--no-color", *options]
    with tempfile.TemporaryDirectory() as cache:  # what an earlier run found is not tried again
        return subprocess.run(  # noqa: S603 - our own
            command, cwd=cache, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )


def main(options: list[str]) -> int:
    # A stream is read to its end, which it therefore needs.
    settings = change_settings(Settings(), rate_limit=0, stream_lifetime_s=0.5)
    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(Path(directory), settings)
        try:
            stack.start()
            asyncio.run(stack.wait_until_ready())
            body = {"username": "schemathesis", "broker_name": "mock", "account_id": "1", "api_key": "s3cret"}
            created = httpx.post(f"{stack.base_url}/accounts/", json=body).raise_for_status().json()
            runs = [
                run_schemathesis(stack.base_url, *options),
                run_schemathesis(stack.base_url, "--header", f"X-API-Key: {created['api_key']}", *options),
            ]
        finally:
            stack.stop()
    for run in runs:
        sys.stdout.write(run.stdout)
    return max(run.returncode for run in runs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
