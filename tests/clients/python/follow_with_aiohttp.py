import asyncio
import json
import os

import aiohttp


async def main() -> None:
    url, headers = os.environ["SIGNALHUB_URL"], {"X-API-Key": os.environ["SIGNALHUB_API_KEY"]}
    cursor, epoch = "0", ""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.ws_connect(f"{url}/ws/stream?after={cursor}", headers=headers) as socket:
                    async for frame in socket:
                        print(frame.data, flush=True)
                        message = json.loads(frame.data)
                        epoch = message.get("epoch", epoch)
                        cursor = f"{epoch}-{message['seq']}"
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(1)


asyncio.run(main())
