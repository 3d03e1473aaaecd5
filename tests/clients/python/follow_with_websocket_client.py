import json
import os
import time

import websocket

url, headers = os.environ["SIGNALHUB_URL"].replace("http", "ws"), {"X-API-Key": os.environ["SIGNALHUB_API_KEY"]}
position = {"cursor": "0", "epoch": ""}


def handle_message(_: websocket.WebSocketApp, text: str) -> None:
    print(text, flush=True)
    message = json.loads(text)
    position["epoch"] = message.get("epoch", position["epoch"])
    position["cursor"] = f"{position['epoch']}-{message['seq']}"


while True:
    address = f"{url}/ws/stream?after={position['cursor']}"
    websocket.WebSocketApp(address, header=headers, on_message=handle_message).run_forever()
    time.sleep(1)
