"""HTTP client of an application in this process: quick to start, for settings that a single test needs.

It cannot stream: the transport returns a response only when it is complete.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from signalhub.app import create_app
from signalhub.settings import Settings


@asynccontextmanager
async def open_in_process_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with app.lifespan():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]  # two ways to write ASGI
        async with httpx.AsyncClient(transport=transport, base_url=settings.web.base_url) as http:
            yield http
