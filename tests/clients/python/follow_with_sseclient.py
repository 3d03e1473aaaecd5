import os
import time

import requests
from sseclient import SSEClient

url, headers = f"{os.environ['SIGNALHUB_URL']}/api/v1/stream?after=0", {"X-API-Key": os.environ["SIGNALHUB_API_KEY"]}
while True:
    try:
        for event in SSEClient(requests.get(url, stream=True, headers=headers)).events():
            print(event.data, flush=True)
            if event.id:
                headers["Last-Event-ID"] = event.id
    except requests.RequestException:
        pass
    time.sleep(1)
