// The event stream: a native EventSource opened with a ticket. The browser reconnects by itself, with the id of the last
// event and the cookie that the ticket left. A new ticket is fetched only if it gives up, if the cookie has expired, or if
// the connection is dead: a network may drop it without an end, and a browser does not notice that heartbeats are missing.
//
// Every event is delivered at least once and in order. Rows carry a version, so a repeated event changes nothing.

const TYPES = [
  "order.pending", "order.retrying", "order.executed", "order.partially_closed", "order.closed", "order.rejected",
  "order.cancelled", "order.expired", "signal.rejected",
];
const MAX_RETRY_DELAY_MS = 10_000;
const CLOSE_HIDDEN_AFTER_MS = 60_000;
const MAX_MISSED_HEARTBEATS = 2;
const OPEN_TIMEOUT_MS = 15_000;
const REPEAT_REQUEST_AFTER_MS = 5_000;
const REPEAT_REQUEST_AFTER_SILENCE_MS = 1_000;
const MAX_REQUESTS = 6; // as many connections as a browser opens to one server

export class Feed {
  #csrf; #cursor; #onState; #onEvent; #reload;
  #source = null;
  #attempt = null;
  #isOver = false;
  #failures = 0;
  #timer = 0;
  #silenceTimer = 0;
  #maxSilenceMs = OPEN_TIMEOUT_MS;

  constructor({ csrf, cursor, onState, onEvent, reload }) {
    this.#csrf = csrf;
    this.#cursor = cursor;
    this.#onState = onState;
    this.#onEvent = onEvent;
    this.#reload = reload;
    // A browser opens about six connections to one server, so a tab that has been hidden for a minute closes its own.
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.#timer);
      if (!document.hidden) this.#source ?? this.open();
      else this.#timer = setTimeout(() => this.#close(), CLOSE_HIDDEN_AFTER_MS);
    });
    addEventListener("online", () => this.open());
    addEventListener("pageshow", (event) => event.persisted && this.open());
  }

  // Connect, or connect again, behind the last event that was delivered.
  async open({ isAfterSilence = false } = {}) {
    if (this.#isOver) return;
    this.#close();
    this.#onState(isAfterSilence || this.#failures ? "reconnecting" : "connecting");
    const attempt = (this.#attempt = Symbol());
    try {
      const ticket = await this.#fetchTicket(isAfterSilence ? REPEAT_REQUEST_AFTER_SILENCE_MS : REPEAT_REQUEST_AFTER_MS);
      if (attempt !== this.#attempt) return;
      if (ticket === null) this.end();
      else this.#listen(ticket);
    } catch {
      if (attempt === this.#attempt) this.#reopenLater();
    }
  }

  // Close and stay closed: signed out, here or in another tab.
  end() {
    this.#isOver = true;
    this.#attempt = null;
    this.#close();
    this.#onState("out");
  }

  #listen(ticket) {
    const query = new URLSearchParams({ after: this.#cursor, types: TYPES.join(","), ticket });
    const source = (this.#source = new EventSource(`/api/v1/stream?${query}`));
    this.#limitSilence(OPEN_TIMEOUT_MS);
    source.addEventListener("stream.ready", (event) => this.#handleReady(JSON.parse(event.data)));
    source.addEventListener("stream.heartbeat", () => this.#limitSilence(this.#maxSilenceMs));
    for (const type of TYPES) source.addEventListener(type, (event) => this.#deliver(event));
    // Events are missing from the log, or the log is another one: events alone cannot bring the page up to date.
    for (const type of ["stream.reset", "stream.gap"]) source.addEventListener(type, () => this.#reloadPage());
    source.onerror = () => {
      this.#onState("reconnecting");
      if (source.readyState === EventSource.CLOSED) this.#reopenLater();
      else this.#limitSilence(OPEN_TIMEOUT_MS);
    };
  }

  #handleReady({ heartbeat_s = 15 }) {
    this.#failures = 0;
    this.#maxSilenceMs = MAX_MISSED_HEARTBEATS * heartbeat_s * 1000;
    this.#limitSilence(this.#maxSilenceMs);
    this.#onState("live");
  }

  // Open another connection unless something arrives within `ms`.
  #limitSilence(ms) {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.open({ isAfterSilence: true }), ms);
  }

  #deliver(event) {
    this.#limitSilence(this.#maxSilenceMs);
    this.#onEvent(JSON.parse(event.data));
    this.#cursor = event.lastEventId;
  }

  async #reloadPage() {
    this.#close();
    this.#onState("reconnecting");
    try {
      const cursor = await this.#reload();
      if (cursor === null) return this.end();
      this.#cursor = cursor;
      this.open();
    } catch {
      this.#timer = setTimeout(() => this.#reloadPage(), this.#nextRetryDelay());
    }
  }

  #reopenLater() {
    this.#close();
    this.#onState("reconnecting");
    this.#timer = setTimeout(() => this.open(), this.#nextRetryDelay());
  }

  #nextRetryDelay() {
    this.#failures += 1;
    return Math.min(500 * 2 ** this.#failures, MAX_RETRY_DELAY_MS) * (0.5 + Math.random() / 2);
  }

  #close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#silenceTimer);
    this.#source?.close();
    this.#source = null;
  }

  // Return null if nobody is signed in any more. Throw an error if a retry may help.
  //
  // A browser sends a request over a connection that it has kept, which may be as dead as the stream's was. So while no
  // answer arrives the request is repeated, each time over another connection.
  async #fetchTicket(repeatAfterMs) {
    const abort = new AbortController();
    const requests = [];
    try {
      while (requests.length < MAX_REQUESTS) {
        requests.push(this.#requestTicket(abort.signal));
        const pause = new Promise((resolve) => setTimeout(resolve, repeatAfterMs));
        const ticket = await Promise.race([Promise.any(requests), pause]);
        if (ticket !== undefined) return ticket;
      }
    } finally {
      abort.abort();
    }
    throw new Error("the ticket request has no answer");
  }

  async #requestTicket(signal) {
    const headers = { "X-CSRF-Token": this.#csrf };
    const response = await fetch("/api/v1/tickets", { method: "POST", headers, signal });
    if (response.status === 401 || response.status === 403) return null;
    if (!response.ok) throw new Error(`the ticket request has status ${response.status}`);
    return (await response.json()).ticket;
  }
}
