"""The application without a server process: quick to start, for settings that one test alone needs.

It cannot stream: an answer is whole before it is seen.
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
