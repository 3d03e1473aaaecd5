import os
import time

import httpx
from httpx_sse import connect_sse

url, headers = f"{os.environ['SIGNALHUB_URL']}/api/v1/stream?after=0", {"X-API-Key": os.environ["SIGNALHUB_API_KEY"]}
while True:
    try:
        with httpx.Client(timeout=None) as http, connect_sse(http, "GET", url, headers=headers) as source:
            for event in source.iter_sse():
                print(event.data, flush=True)
                headers["Last-Event-ID"] = event.id
    except httpx.TransportError:
        pass
    time.sleep(1)
