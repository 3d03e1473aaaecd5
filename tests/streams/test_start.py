"""A web process that cannot start logs the reason."""

import asyncio
import json
import os
import sys
from pathlib import Path

from cryptography.fernet import Fernet

from tests.kit.running_app import RunningApp


async def test_web_process_without_database_logs_the_reason(app: RunningApp, tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALHUB_")} | {
        "SIGNALHUB_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/nothing",
        "SIGNALHUB_REDIS_URL": app.settings.redis_url,
        "SIGNALHUB_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "SIGNALHUB_PORT": "0",
        "SIGNALHUB_LOG_FORMAT": "json",
    }
    web = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "signalhub", "web", env=environ, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        _, output = await web.communicate()
    assert web.returncode == 1
    lines = [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]
    assert [line["event"] for line in lines][:1] == ["web.start_failed"]
    assert "migrate" in lines[0]["hint"]
