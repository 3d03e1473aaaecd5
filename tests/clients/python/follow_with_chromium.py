"""Chromium's own EventSource on a page of the service, opened with a ticket, since it cannot set a header."""

import asyncio
import os
import tempfile
from pathlib import Path

import httpx

from tests.browser.chromium import run_browser

OPEN = """(([ticket, types]) => {
    window.messages = [];
    window.source = new EventSource(`/api/v1/stream?after=0&ticket=${ticket}`);
    for (const type of ["message", ...types]) source.addEventListener(type, event => messages.push(event.data));
})"""


async def main() -> None:
    url, headers = os.environ["SIGNALHUB_URL"], {"X-API-Key": os.environ["SIGNALHUB_API_KEY"]}
    async with httpx.AsyncClient(headers=headers) as http:
        ticket = (await http.post(f"{url}/api/v1/tickets")).json()["ticket"]
    with tempfile.TemporaryDirectory() as directory:
        async with run_browser(Path(directory) / "profile") as browser, browser.page() as page:
            await page.open(f"{url}/docs/errors")
            await page.js(f"{OPEN}({[ticket, os.environ['EVENT_TYPES'].split(',')]!r})")
            while True:
                for data in await page.js("messages.splice(0)"):
                    print(data, flush=True)
                await asyncio.sleep(0.1)


asyncio.run(main())
