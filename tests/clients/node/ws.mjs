import WebSocket from "ws";

import { hand, key, url } from "./service.mjs";

let cursor = "0";
let epoch = "";

function connect() {
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws/stream?after=${cursor}`, {
    headers: { "X-API-Key": key },
  });
  socket.on("message", (data) => {
    const message = JSON.parse(data);
    epoch = message.epoch ?? epoch;
    cursor = `${epoch}-${message.seq}`;
    hand({ data });
  });
  socket.on("error", () => {}); // "close" follows
  socket.on("close", () => setTimeout(connect, 1000));
}

connect();
