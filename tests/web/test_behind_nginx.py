"""The documented configuration of nginx, in a real nginx: streams arrive at once, WebSockets are upgraded."""

import re
import shutil
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import httpx
import pytest
from websockets.asyncio.client import connect

from signalhub.embedded.child_processes import SERVER_ENVIRONMENT, spawn
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient, receive_json
from tests.kit.certificates import Certificate, create_certificate
from tests.kit.polling import wait_until
from tests.kit.processes import find_free_port
from tests.kit.running_app import RunningApp
from tests.kit.sse_stream import open_sse

_EXECUTABLE = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
_PAGE = Path(__file__).parents[2] / "docs" / "operating.md"

pytestmark = pytest.mark.skipif(_EXECUTABLE is None, reason="nginx is not installed")


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return create_certificate(tmp_path)


@pytest.fixture
async def proxy(app: RunningApp, certificate: Certificate, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    port = find_free_port()
    (block,) = re.findall(r"```nginx\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for documented, actual in (
        ("127.0.0.1:8000", f"127.0.0.1:{app.settings.web.port}"),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ssl/signals.example.com.pem", str(certificate.certificate_file)),
        ("/etc/ssl/signals.example.com.key", str(certificate.key_file)),
    ):
        assert documented in block
        block = block.replace(documented, actual)
    lines = [
        "daemon off; master_process off; pid nginx.pid; error_log stderr; events {}",
        "http { access_log access.log;",
        *(f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
        block,
        "}",
    ]
    (tmp_path / "nginx.conf").write_text("\n".join(lines), encoding="utf-8")
    process = spawn(
        [str(_EXECUTABLE), "-p", str(tmp_path), "-c", "nginx.conf"],
        env=SERVER_ENVIRONMENT,
        stop_signal=signal.SIGKILL,
    )
    try:
        async with httpx.AsyncClient(
            base_url=f"https://localhost:{port}", verify=ssl.create_default_context(cafile=certificate.certificate_file)
        ) as http:
            await wait_until(lambda: _answers(http, process))
            yield http
    finally:
        process.kill()
        process.wait()


async def _answers(http: httpx.AsyncClient, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None
    try:
        return (await http.get("/health/live")).is_success
    except httpx.TransportError:
        return False


async def test_streams_pass_through_nginx_unbuffered(
    proxy: httpx.AsyncClient, certificate: Certificate, account: AccountClient
) -> None:
    headers = {"X-API-Key": account.api_key}
    address = str(proxy.base_url).replace("https", "wss")
    trusted = ssl.create_default_context(cafile=certificate.certificate_file)
    async with (
        open_sse(proxy, headers=headers) as stream,
        connect(f"{address}/ws/stream", additional_headers=headers, ssl=trusted) as socket,
    ):
        await stream.expect_ready()
        await receive_json(socket)
        started_at = monotonic()
        answer = await proxy.post("/api/v1/signals", content=signal_texts.BUY, headers=headers)
        assert answer.status_code == 202
        seq = (await stream.next_event()).json["seq"]
        assert (await receive_json(socket))["seq"] == seq
        assert monotonic() - started_at < 1


async def test_hook_urls_are_not_in_the_log_of_nginx(
    proxy: httpx.AsyncClient, account: AccountClient, tmp_path: Path
) -> None:
    hook = await account.post("/api/v1/hooks", {"label": "nginx"})
    assert (await proxy.post(hook["path"], content=signal_texts.BUY)).status_code == 202
    assert (await proxy.get("/health/live")).is_success
    log = (tmp_path / "access.log").read_text(encoding="utf-8")
    assert "/health/live" in log
    assert "/hooks/" not in log
