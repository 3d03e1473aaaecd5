import { EventSource } from "eventsource4";
import ReconnectingEventSource from "reconnecting-eventsource";

import { hand, key, types, url } from "./service.mjs";

class EventSourceWithKey extends EventSource {
  constructor(address, init) {
    super(address, { ...init, fetch: (input, options) => fetch(input, { ...options, headers: { ...options.headers, "X-API-Key": key } }) });
  }
}

const source = new ReconnectingEventSource(`${url}/api/v1/stream?after=0`, { eventSourceClass: EventSourceWithKey });
source.onmessage = hand;
for (const type of types) source.addEventListener(type, hand);
