"""The third-party clients: how each is started, and where its version is written.

Each script follows the account's log from the first event in the way that the client's own README shows. It resumes by
the client's own means, and where the client has none, in a plain loop. It prints the data of each message that it is
handed on a line of its own.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, Literal

import msgspec

from signalhub.domain.events import EVENT_TYPES
from tests.browser import chromium

ROOT: Final = Path(__file__).parents[2]
SCRIPTS: Final = Path(__file__).parent
PACKAGES: Final = ROOT / ".venv" / "clients"
"""Installed by `just clients`: `python` for pip's, and for npm's a copy of the scripts beside `node_modules`."""

_CONTROL_TYPES: Final = ("stream.ready", "stream.reset", "stream.gap", "stream.heartbeat")

Runtime = Literal["node", "python", "shell", "chromium"]


class ThirdPartyClient(msgspec.Struct, frozen=True):
    """`package` is the name under which the registry's package is installed.

    A client with `keeps_unfinished_frames` puts the data of a frame that did not end before those of the next frame.
    """

    name: str
    transport: Literal["SSE", "WebSocket"]
    runtime: Runtime
    script: str
    package: str = ""
    keeps_unfinished_frames: bool = False

    @property
    def command(self) -> list[str]:
        match self.runtime:
            case "node":
                return ["node", str(PACKAGES / self.script)]
            case "shell":
                return ["bash", str(SCRIPTS / "shell" / self.script)]
            case _:
                return [sys.executable, str(SCRIPTS / "python" / self.script)]

    def build_environment(self, url: str, api_key: str) -> dict[str, str]:
        return {name: text for name, text in os.environ.items() if not name.startswith("SIGNALHUB_")} | {
            "SIGNALHUB_URL": url,
            "SIGNALHUB_API_KEY": api_key,
            "EVENT_TYPES": ",".join([*_CONTROL_TYPES, *EVENT_TYPES]),
            "PYTHONPATH": os.pathsep.join([str(PACKAGES / "python"), str(ROOT)]),
        }

    def read_version(self) -> str:
        match self.runtime:
            case "node":
                package_file = PACKAGES / "node_modules" / self.package / "package.json"
                return str(msgspec.json.decode(package_file.read_bytes())["version"])
            case "python":
                pattern = re.compile(rf"^{re.escape(self.package)}==(\S+)", re.MULTILINE)
                locks = [(ROOT / name).read_text() for name in ("requirements.lock", "requirements-clients.lock")]
                match_ = pattern.search("\n".join(locks))
                return match_[1] if match_ else "?"
            case "shell" | "chromium":
                program = chromium.PROGRAM if self.runtime == "chromium" else "curl"
                output = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603 - found on the PATH
                return next(iter(re.findall(r"\d+[.\d]+", output)), "?")


CLIENTS: Final = (
    ThirdPartyClient("eventsource 2", "SSE", "node", "eventsource2.mjs", "eventsource2", keeps_unfinished_frames=True),
    ThirdPartyClient("eventsource 3", "SSE", "node", "eventsource3.mjs", "eventsource3"),
    ThirdPartyClient("eventsource 4", "SSE", "node", "eventsource4.mjs", "eventsource4"),
    ThirdPartyClient("fetch-event-source", "SSE", "node", "fetch_event_source.mjs", "@microsoft/fetch-event-source"),
    ThirdPartyClient("event-source-polyfill", "SSE", "node", "event_source_polyfill.mjs", "event-source-polyfill"),
    ThirdPartyClient(
        "reconnecting-eventsource", "SSE", "node", "reconnecting_eventsource.mjs", "reconnecting-eventsource"
    ),
    ThirdPartyClient("ws", "WebSocket", "node", "ws.mjs", "ws"),
    ThirdPartyClient(
        "reconnecting-websocket", "WebSocket", "node", "reconnecting_websocket.mjs", "reconnecting-websocket"
    ),
    ThirdPartyClient("httpx-sse", "SSE", "python", "follow_with_httpx_sse.py", "httpx-sse"),
    ThirdPartyClient("sseclient-py", "SSE", "python", "follow_with_sseclient.py", "sseclient-py"),
    ThirdPartyClient(
        "aiohttp-sse-client2", "SSE", "python", "follow_with_aiohttp_sse_client.py", "aiohttp-sse-client2"
    ),
    ThirdPartyClient("websockets", "WebSocket", "python", "follow_with_websockets.py", "websockets"),
    ThirdPartyClient("websocket-client", "WebSocket", "python", "follow_with_websocket_client.py", "websocket-client"),
    ThirdPartyClient("aiohttp", "WebSocket", "python", "follow_with_aiohttp.py", "aiohttp"),
    ThirdPartyClient("curl", "SSE", "shell", "follow_with_curl.sh"),
    ThirdPartyClient("Chromium", "SSE", "chromium", "follow_with_chromium.py"),
)

_PROGRAMS: Final[dict[Runtime, tuple[str, ...]]] = {"node": ("node", "npm"), "shell": ("bash", "curl")}


def find_missing_program(runtime: Runtime) -> str | None:
    """Return the program without which no client of this runtime can run, if it is not on this machine."""
    if runtime == "chromium":
        return None if chromium.PROGRAM else "chromium"
    return next((name for name in _PROGRAMS.get(runtime, ()) if shutil.which(name) is None), None)
