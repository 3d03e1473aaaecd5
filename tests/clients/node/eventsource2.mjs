import EventSource from "eventsource2";

import { hand, key, types, url } from "./service.mjs";

const source = new EventSource(`${url}/api/v1/stream?after=0`, { headers: { "X-API-Key": key } });
source.onmessage = hand;
for (const type of types) source.addEventListener(type, hand);
