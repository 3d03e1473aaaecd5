import json
import os
import time

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

url, headers = os.environ["SIGNALHUB_URL"].replace("http", "ws"), {"X-API-Key": os.environ["SIGNALHUB_API_KEY"]}
cursor, epoch = "0", ""
while True:
    try:
        with connect(f"{url}/ws/stream?after={cursor}", additional_headers=headers) as socket:
            for text in socket:
                print(text, flush=True)
                message = json.loads(text)
                epoch = message.get("epoch", epoch)
                cursor = f"{epoch}-{message['seq']}"
    except (ConnectionClosed, InvalidHandshake, OSError):
        pass
    time.sleep(1)
