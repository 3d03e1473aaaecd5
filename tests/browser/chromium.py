"""Drive a real Chromium over its DevTools protocol, without a driver in between.

Tests read and wait for the state of a page with JavaScript in it. They send keys and clicks as input events, as the
keyboard and the mouse do.
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
    "--no-proxy-server",
    # Names of the internet and of a local network that resolve to this machine.
    "--host-resolver-rules=MAP *.example 127.0.0.1, MAP *.local 127.0.0.1",
)


D = TypeVar("D", bound="DevTools")


class DevTools:
    """A DevTools connection, to the browser or to one tab. `messages` are the errors and warnings of a tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self.messages: list[str] = []

    async def call(self, method: str, **params: object) -> Any:  # noqa: ANN401 - JSON
        number = next(self._numbers)
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(msgspec.json.encode({"id": number, "method": method, "params": params}).decode())
        return await asyncio.wait_for(answer, 15)

    async def listen(self) -> None:
        async for text in self._socket:
            message = msgspec.json.decode(text)
            if "id" in message:
                self._pending.pop(message["id"]).set_result(message.get("result", message.get("error")))
            elif message["method"] == "Log.entryAdded":
                self.messages.append(message["params"]["entry"]["text"])
            elif message["method"] == "Runtime.exceptionThrown":
                self.messages.append(str(message["params"]["exceptionDetails"]))


class Page(DevTools):
    """One tab."""

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def js(self, expression: str) -> Any:  # noqa: ANN401 - JSON
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return result.get("result", {}).get("value")

    async def text(self, selector: str) -> str:
        """Return the visible text of an element, or an empty one if there is no such element."""
        return str(await self.js(f"document.querySelector({selector!r})?.innerText ?? ''"))

    async def until(self, expression: str, timeout_s: float = 20.0) -> None:
        """Wait for a JavaScript expression to become true, also across the loading of another page."""
        await wait_until(lambda: self.js(expression), timeout_s=timeout_s, interval_s=0.05)

    async def click(self, selector: str) -> None:
        center = f"(box => [box.x + box.width / 2, box.y + box.height / 2])(document.querySelector({selector!r})"
        await self.js(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        x, y = await self.js(f"{center}.getBoundingClientRect())")
        for event_type in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=event_type, x=x, y=y, button="left", clickCount=1)

    async def type(self, text: str) -> None:
        """Insert text into the focused element."""
        await self.call("Input.insertText", text=text)

    async def set_viewport(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)

    async def screenshot(self) -> bytes:
        """Return the visible part of the page as PNG."""
        capture = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        return base64.b64decode(capture["data"])


class Browser:
    """A running Chromium. Each page has its own cookies, as in a private window."""

    def __init__(self, host: str, devtools: DevTools) -> None:
        self._host, self._devtools = host, devtools

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        context = (await self._devtools.call("Target.createBrowserContext"))["browserContextId"]
        target = await self._devtools.call("Target.createTarget", url="about:blank", browserContextId=context)
        async with _connect(Page, f"ws://{self._host}/devtools/page/{target['targetId']}") as page:
            for domain in ("Page", "Runtime", "Log"):
                await page.call(f"{domain}.enable")
            yield page
        await self._devtools.call("Target.disposeBrowserContext", browserContextId=context)


@asynccontextmanager
async def run_browser(profile: Path) -> AsyncIterator[Browser]:
    assert PROGRAM is not None, "there is no Chromium"
    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - returns at once; our own flags
            [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        address = await wait_until(lambda: _read_address(profile))
        async with _connect(DevTools, f"ws://{address}") as devtools:
            yield Browser(address.partition("/")[0], devtools)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _read_address(profile: Path) -> str:
    """Return the address of DevTools, which Chromium writes to its profile, or an empty text before that."""
    try:
        port, path = (profile / "DevToolsActivePort").read_text().split("\n")
    except (OSError, ValueError):
        return ""
    return f"127.0.0.1:{port}{path}"


@asynccontextmanager
async def _connect(connection_type: type[D], url: str) -> AsyncIterator[D]:
    async with connect(url, proxy=None, max_size=None) as socket:
        devtools = connection_type(socket)
        listener = asyncio.create_task(devtools.listen())
        try:
            yield devtools
        finally:
            listener.cancel()
