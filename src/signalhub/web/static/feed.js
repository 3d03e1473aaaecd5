// The stream: a native EventSource opened with a ticket. The browser reconnects by itself, with the last event's id and
// the cookie that the ticket left behind; only where it gives up, or the cookie is too old, is a new ticket fetched.
//
// Every event is passed on at least once and in order. What is shown carries a version, so a repeat changes nothing.

const TYPES = [
  "order.pending", "order.retrying", "order.executed", "order.partially_closed", "order.closed", "order.rejected",
  "order.cancelled", "order.expired", "signal.rejected",
];
const LONGEST_WAIT_MS = 10_000;
const HIDDEN_MS = 60_000;

export class Feed {
  #csrf; #cursor; #onState; #onEvent; #reload;
  #source = null;
  #attempt = null;
  #isOver = false;
  #failures = 0;
  #timer = 0;

  constructor({ csrf, cursor, onState, onEvent, reload }) {
    this.#csrf = csrf;
    this.#cursor = cursor;
    this.#onState = onState;
    this.#onEvent = onEvent;
    this.#reload = reload;
    // A browser opens about six connections to one server: a tab that nobody looks at lets go of its own.
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.#timer);
      if (!document.hidden) this.#source ?? this.open();
      else this.#timer = setTimeout(() => this.#close(), HIDDEN_MS);
    });
    addEventListener("online", () => this.open());
    addEventListener("pageshow", (shown) => shown.persisted && this.open());
  }

  // Start, or start anew, from the last event that was passed on.
  async open() {
    if (this.#isOver) return;
    this.#close();
    this.#onState(this.#failures ? "reconnecting" : "connecting");
    const attempt = (this.#attempt = Symbol());
    try {
      const ticket = await this.#ticket();
      if (attempt !== this.#attempt) return;
      if (ticket === null) this.end();
      else this.#listen(ticket);
    } catch {
      if (attempt === this.#attempt) this.#again();
    }
  }

  // For good: signed out, here or in another tab.
  end() {
    this.#isOver = true;
    this.#attempt = null;
    this.#close();
    this.#onState("out");
  }

  #listen(ticket) {
    const query = new URLSearchParams({ after: this.#cursor, types: TYPES.join(","), ticket });
    const source = (this.#source = new EventSource(`/api/v1/stream?${query}`));
    source.addEventListener("stream.ready", () => this.#isLive());
    for (const type of TYPES) source.addEventListener(type, (event) => this.#take(event));
    // What is missing from the log, or is of another log, cannot be told by events any more.
    for (const type of ["stream.reset", "stream.gap"]) source.addEventListener(type, () => this.#startOver());
    source.onerror = () => {
      this.#onState("reconnecting");
      if (source.readyState === EventSource.CLOSED) this.#again();
    };
  }

  #isLive() {
    this.#failures = 0;
    this.#onState("live");
  }

  #take(event) {
    this.#onEvent(JSON.parse(event.data));
    this.#cursor = event.lastEventId;
  }

  async #startOver() {
    this.#close();
    this.#onState("reconnecting");
    try {
      const cursor = await this.#reload();
      if (cursor === null) return this.end();
      this.#cursor = cursor;
      this.open();
    } catch {
      this.#timer = setTimeout(() => this.#startOver(), this.#wait());
    }
  }

  #again() {
    this.#close();
    this.#onState("reconnecting");
    this.#timer = setTimeout(() => this.open(), this.#wait());
  }

  #wait() {
    this.#failures += 1;
    return Math.min(500 * 2 ** this.#failures, LONGEST_WAIT_MS) * (0.5 + Math.random() / 2);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  // Null where nobody is signed in any more; throws where it is worth another try.
  async #ticket() {
    const answer = await fetch("/api/v1/tickets", { method: "POST", headers: { "X-CSRF-Token": this.#csrf } });
    if (answer.status === 401 || answer.status === 403) return null;
    if (!answer.ok) throw new Error(`the ticket office answered ${answer.status}`);
    return (await answer.json()).ticket;
  }
}
