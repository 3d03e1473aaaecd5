import ReconnectingWebSocket from "reconnecting-websocket";
import WebSocket from "ws";

import { hand, key, url } from "./service.mjs";

let cursor = "0";
let epoch = "";

const socket = new ReconnectingWebSocket(() => `${url.replace("http", "ws")}/ws/stream?after=${cursor}`, [], { WebSocket });
// It sets no headers, so the key is the first message.
socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "authenticate", api_key: key })));
socket.addEventListener("message", (event) => {
  const message = JSON.parse(event.data);
  if (!message.type.startsWith("stream.") && message.seq === undefined) return hand(event);
  epoch = message.epoch ?? epoch;
  cursor = `${epoch}-${message.seq}`;
  hand(event);
});
