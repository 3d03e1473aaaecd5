// The live page: puts the parts together. Each part knows one thing and nothing of the others.

import { Composer } from "./composer.js";
import { Feed } from "./feed.js";
import { OrderTable } from "./orders.js";
import { RefusalList } from "./refusals.js";
import { localise } from "./times.js";
import { onOtherAccount } from "./tabs.js";

const page = document.getElementById("live");
const state = document.getElementById("connection");
const csrf = document.querySelector("input[name=csrf]").value;

const WORDS = {
  connecting: ["waiting", "Connecting…"],
  live: ["live", "Connected"],
  reconnecting: ["waiting", "Reconnecting…"],
  out: ["out", "Signed out"],
};

function say(name) {
  const [tone, words] = WORDS[name];
  if (state.textContent.startsWith(words)) return;
  state.dataset.state = tone;
  state.textContent = words;
  if (name !== "out") return;
  const back = document.createElement("a");
  back.href = "/";
  back.textContent = "Sign in again";
  state.append(". ", back);
}

localise(document);

if (document.getElementById("send")) {
  new Composer(document.getElementById("send"), csrf, () => say("out"));
}

if (page.dataset.cursor) {
  const orders = new OrderTable(document.getElementById("orders"), Number(page.dataset.mostOrders));
  const refusals = new RefusalList(document.getElementById("refusals"), Number(page.dataset.mostRefusals));
  const feed = new Feed({
    csrf,
    cursor: page.dataset.cursor,
    onState: say,
    onEvent: (event) => (event.type === "signal.rejected" ? refusals.take(event) : orders.take(event)),
    reload,
  });

  // The page as the server has it now, in place of what is shown, and the cursor that belongs to it.
  async function reload() {
    const answer = await fetch("/", { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const cursor = fresh.getElementById("live")?.dataset.cursor;
    if (answer.ok && !cursor) return null;
    if (!answer.ok) throw new Error(`the page answered ${answer.status}`);
    localise(fresh);
    orders.replace(fresh.getElementById("orders"));
    refusals.replace(fresh.getElementById("refusals"));
    return cursor;
  }

  feed.open();
  onOtherAccount(page.dataset.account, () => feed.end());
}
