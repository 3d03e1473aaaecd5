import { EventSource } from "eventsource4";

import { hand, key, types, url } from "./service.mjs";

const source = new EventSource(`${url}/api/v1/stream?after=0`, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, "X-API-Key": key } }),
});
source.onmessage = hand;
for (const type of types) source.addEventListener(type, hand);
