"""A real Chromium, driven over its DevTools protocol: open, click, type, look. No driver in between.

What a page does is waited for and read with JavaScript in the page; what a person does (keys, clicks) is sent as input,
so that it goes the way of a person's.
"""

import asyncio
import base64
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect

from tests.kit.waiting import until

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""None where there is no Chromium on this machine."""

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


class Page:
    """One tab. `said` is what it wrote on its console and what it could not load."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.said: list[str] = []

    async def call(self, method: str, **params: object) -> Any:  # noqa: ANN401 - JSON
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(msgspec.json.encode({"id": number, "method": method, "params": params}).decode())
        return await asyncio.wait_for(answer, 15)

    async def listen(self) -> None:
        async for text in self._socket:
            heard = msgspec.json.decode(text)
            if "id" in heard:
                self._waiting.pop(heard["id"]).set_result(heard.get("result", heard.get("error")))
            elif heard["method"] == "Log.entryAdded":
                self.said.append(heard["params"]["entry"]["text"])
            elif heard["method"] == "Runtime.exceptionThrown":
                self.said.append(str(heard["params"]["exceptionDetails"]))

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def js(self, expression: str) -> Any:  # noqa: ANN401 - JSON
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found.get("result", {}).get("value")

    async def text(self, selector: str) -> str:
        """What a person reads there; empty where there is nothing."""
        return str(await self.js(f"document.querySelector({selector!r})?.innerText ?? ''"))

    async def until(self, expression: str, timeout_s: float = 10.0) -> None:
        """Wait for a JavaScript expression to become true; a page that is just being replaced is asked again."""
        await until(lambda: self.js(expression), timeout_s=timeout_s, every_s=0.05)

    async def click(self, selector: str) -> None:
        place = f"(box => [box.x + box.width / 2, box.y + box.height / 2])(document.querySelector({selector!r})"
        await self.js(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        x, y = await self.js(f"{place}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def type(self, text: str) -> None:
        """Into whatever has the focus."""
        await self.call("Input.insertText", text=text)

    async def look(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)

    async def picture(self) -> bytes:
        """What is to be seen, as PNG."""
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def browsing(profile: Path) -> AsyncIterator[Page]:
    """A browser of its own with one empty tab."""
    assert PROGRAM is not None, "there is no Chromium"
    with (profile.parent / "chromium.log").open("wb") as log:
        browser = subprocess.Popen(  # noqa: ASYNC220, S603 - returns at once; our own flags
            [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        port = await until(lambda: _port(profile), timeout_s=20)
        async with connect(f"ws://127.0.0.1:{port}{await _first_tab(port)}", proxy=None, max_size=None) as socket:
            page = Page(socket)
            listener = asyncio.create_task(page.listen())
            try:
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
            finally:
                listener.cancel()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


async def _port(profile: Path) -> int | None:
    """Where DevTools listens: Chromium writes it down as soon as it does."""
    try:
        return int((profile / "DevToolsActivePort").read_text().split("\n")[0])
    except (OSError, ValueError):
        return None


async def _first_tab(port: int | None) -> str:

    async with httpx.AsyncClient(trust_env=False) as http:
        tabs = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
    url: str = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
    return "/" + url.split("/", 3)[3]
