import asyncio
import os

import aiohttp
from aiohttp_sse_client2.client import EventSource


async def main() -> None:
    url, headers = os.environ["SIGNALHUB_URL"], {"X-API-Key": os.environ["SIGNALHUB_API_KEY"]}
    while True:
        try:
            async with EventSource(f"{url}/api/v1/stream?after=0", headers=headers, max_connect_retry=0) as source:
                async for event in source:
                    print(event.data, flush=True)
                    headers["Last-Event-Id"] = event.last_event_id  # in its own spelling
        except (aiohttp.ClientError, ConnectionError):
            pass  # it reconnects by itself where the service ends a stream, not where a connection breaks
        await asyncio.sleep(1)


asyncio.run(main())
