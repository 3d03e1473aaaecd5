// The signal form: shows the problems of the text while it is typed, and the result when it is sent.

import { problemItems, underline } from "./problems.js";

const TYPING_PAUSE_MS = 250;

export class Composer {
  #csrf; #onSignedOut;
  #form; #text; #button; #underlines; #message; #problems; #key;
  #timer = 0;
  #parseRequest = new AbortController();

  constructor(form, csrf, onSignedOut) {
    this.#form = form;
    this.#csrf = csrf;
    this.#onSignedOut = onSignedOut;
    this.#text = form.elements.text;
    this.#key = form.elements.key;
    this.#button = form.querySelector("button");
    this.#underlines = document.getElementById("underlines");
    this.#message = document.getElementById("message");
    this.#problems = document.getElementById("problems");
    this.#text.addEventListener("input", () => this.#handleInput());
    this.#text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    underline(this.#underlines, this.#text.value, []);
  }

  #handleInput() {
    // Another text is another signal: under the old key the server would return the result of the old one.
    this.#renewKey();
    this.#text.removeAttribute("aria-invalid");
    underline(this.#underlines, this.#text.value, []);
    clearTimeout(this.#timer);
    this.#parseRequest.abort();
    if (this.#text.value.trim()) this.#timer = setTimeout(() => this.#explain(), TYPING_PAUSE_MS);
    else this.#show([], "");
  }

  async #explain() {
    this.#parseRequest = new AbortController();
    try {
      const response = await this.#post("/api/v1/signals/parse", { signal: this.#parseRequest.signal });
      if (!response.ok) return;
      const { canonical, ok, problems } = await response.json();
      this.#show(problems, ok ? `Understood: ${canonical.replaceAll("\n", ", ")}` : "");
    } catch {
      // Checking while typing may fail silently: sending reports an unreachable server.
    }
  }

  async #send() {
    clearTimeout(this.#timer);
    this.#parseRequest.abort();
    this.#button.disabled = true;
    try {
      const response = await this.#post("/api/v1/signals", { headers: { "Idempotency-Key": this.#key.value } });
      await this.#showResult(response);
    } catch {
      this.#show([], "The server cannot be reached. Press Send again: the signal is accepted only once.", "bad");
    } finally {
      this.#button.disabled = false;
    }
  }

  async #showResult(response) {
    const body = await response.json();
    if (response.ok) {
      this.#text.value = "";
      this.#renewKey();
      underline(this.#underlines, "", []);
      const notices = (body.notices ?? []).map((notice) => ` ${notice.detail}`).join("");
      this.#show([], `${body.duplicate ? "Already accepted" : "Accepted"}: ${body.info}${notices && `.${notices}`}`, "good");
      return;
    }
    if (response.status === 401 || body.code === "bad_csrf") this.#onSignedOut();
    const problems = body.errors ?? [];
    if (problems.length) this.#text.setAttribute("aria-invalid", "true");
    this.#show(problems, problems.length ? "Refused. Correct the text and send it again." : body.detail, "bad");
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

  #show(problems, message, tone = "") {
    underline(this.#underlines, this.#text.value, problems);
    this.#problems.replaceChildren(...problemItems(this.#text.value, problems));
    this.#message.textContent = message;
    this.#message.dataset.tone = tone;
  }

  #renewKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    this.#key.value = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}
