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
from typing import Any, TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from tests.kit.polling import wait_until

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


L = TypeVar("L", bound="Line")


class Line:
    """A DevTools connection, to the browser or to one tab. `said` is what a tab complained of."""

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


class Page(Line):
    """One tab."""

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def js(self, expression: str) -> Any:  # noqa: ANN401 - JSON
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found.get("result", {}).get("value")

    async def text(self, selector: str) -> str:
        """What a person reads there; empty where there is nothing."""
        return str(await self.js(f"document.querySelector({selector!r})?.innerText ?? ''"))

    async def until(self, expression: str, timeout_s: float = 20.0) -> None:
        """Wait for a JavaScript expression to become true; a page that is just being replaced is asked again."""
        await wait_until(lambda: self.js(expression), timeout_s=timeout_s, interval_s=0.05)

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


class Browser:
    """A running Chromium. Each page has cookies of its own, as in a window of its own."""

    def __init__(self, host: str, line: Line) -> None:
        self._host, self._line = host, line

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        context = (await self._line.call("Target.createBrowserContext"))["browserContextId"]
        made = await self._line.call("Target.createTarget", url="about:blank", browserContextId=context)
        async with _line(Page, f"ws://{self._host}/devtools/page/{made['targetId']}") as page:
            for domain in ("Page", "Runtime", "Log"):
                await page.call(f"{domain}.enable")
            yield page
        await self._line.call("Target.disposeBrowserContext", browserContextId=context)


@asynccontextmanager
async def browsing(profile: Path) -> AsyncIterator[Browser]:
    assert PROGRAM is not None, "there is no Chromium"
    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - returns at once; our own flags
            [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        address = await wait_until(lambda: _address(profile), timeout_s=20)
        async with _line(Line, f"ws://{address}") as line:
            yield Browser(address.partition("/")[0], line)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _address(profile: Path) -> str:
    """Where DevTools listens: Chromium writes it down as soon as it does."""
    try:
        port, path = (profile / "DevToolsActivePort").read_text().split("\n")
    except (OSError, ValueError):
        return ""
    return f"127.0.0.1:{port}{path}"


@asynccontextmanager
async def _line(kind: type[L], url: str) -> AsyncIterator[L]:
    async with connect(url, proxy=None, max_size=None) as socket:
        line = kind(socket)
        listener = asyncio.create_task(line.listen())
        try:
            yield line
        finally:
            listener.cancel()
