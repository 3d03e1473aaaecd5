globalThis.window = globalThis; // it is written for browsers

const { fetchEventSource } = await import("@microsoft/fetch-event-source");
const { hand, key, url } = await import("./service.mjs");

await fetchEventSource(`${url}/api/v1/stream?after=0`, {
  headers: { "X-API-Key": key },
  openWhenHidden: true,
  onmessage: hand,
  onclose() {
    throw new Error("ended by the server"); // or it would not come back
  },
});
