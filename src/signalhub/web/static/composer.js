// The box a signal is written in: says what is wrong while it is written, and what came of it when it is sent.

import { faultItems, underline } from "./faults.js";

const PAUSE_MS = 250;

export class Composer {
  #csrf; #onSignedOut;
  #form; #text; #button; #paper; #said; #faults; #key;
  #timer = 0;
  #asking = new AbortController();

  constructor(form, csrf, onSignedOut) {
    this.#form = form;
    this.#csrf = csrf;
    this.#onSignedOut = onSignedOut;
    this.#text = form.elements.text;
    this.#key = form.elements.key;
    this.#button = form.querySelector("button");
    this.#paper = document.getElementById("underlines");
    this.#said = document.getElementById("said");
    this.#faults = document.getElementById("faults");
    this.#text.addEventListener("input", () => this.#changed());
    this.#text.addEventListener("keydown", (key) => {
      if (key.key === "Enter" && (key.ctrlKey || key.metaKey)) form.requestSubmit();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    underline(this.#paper, this.#text.value, []);
  }

  #changed() {
    // Another text is another signal: what was sent under the old key must not answer for it.
    this.#renew();
    this.#text.removeAttribute("aria-invalid");
    underline(this.#paper, this.#text.value, []);
    clearTimeout(this.#timer);
    this.#asking.abort();
    if (this.#text.value.trim()) this.#timer = setTimeout(() => this.#explain(), PAUSE_MS);
    else this.#show([], "");
  }

  async #explain() {
    this.#asking = new AbortController();
    try {
      const answer = await this.#post("/api/v1/signals/parse", { signal: this.#asking.signal });
      if (!answer.ok) return;
      const read = await answer.json();
      this.#show(read.problems, read.ok ? `Understood: ${read.canonical.replaceAll("\n", ", ")}` : "");
    } catch {
      // Help while typing may fail without a word; sending says so itself.
    }
  }

  async #send() {
    clearTimeout(this.#timer);
    this.#asking.abort();
    this.#button.disabled = true;
    try {
      const answer = await this.#post("/api/v1/signals", { headers: { "Idempotency-Key": this.#key.value } });
      await this.#heard(answer);
    } catch {
      this.#show([], "The server cannot be reached. Press Send again: the same signal is never taken twice.", "bad");
    } finally {
      this.#button.disabled = false;
    }
  }

  async #heard(answer) {
    const body = await answer.json();
    if (answer.ok) {
      this.#text.value = "";
      this.#renew();
      underline(this.#paper, "", []);
      this.#show([], `${body.duplicate ? "Was accepted before" : "Accepted"}: ${body.info}`, "good");
      return;
    }
    if (answer.status === 401 || body.code === "bad_csrf") this.#onSignedOut();
    const problems = body.errors ?? [];
    if (problems.length) this.#text.setAttribute("aria-invalid", "true");
    this.#show(problems, problems.length ? "Refused. Mend the text and send it again." : body.detail, "bad");
    this.#text.focus();
  }

  #post(path, { headers = {}, signal = null } = {}) {
    return fetch(path, {
      method: "POST",
      body: this.#text.value,
      headers: { "Content-Type": "text/plain", "X-CSRF-Token": this.#csrf, ...headers },
      signal,
    });
  }

  #show(problems, said, tone = "") {
    underline(this.#paper, this.#text.value, problems);
    this.#faults.replaceChildren(...faultItems(this.#text.value, problems));
    this.#said.textContent = said;
    this.#said.dataset.tone = tone;
  }

  #renew() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    this.#key.value = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}
