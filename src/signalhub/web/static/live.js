// The live page: connects the form, the event stream and the lists, which do not know each other.

import { Composer } from "./composer.js";
import { Feed } from "./feed.js";
import { OrderTable } from "./orders.js";
import { RejectionList } from "./rejections.js";
import { stopOnOtherAccount } from "./tabs.js";
import { localise } from "./times.js";

const page = document.getElementById("live");
const connection = document.getElementById("connection");
const csrf = document.querySelector("input[name=csrf]").value;

const STATES = {
  connecting: ["waiting", "Connecting…"],
  live: ["live", "Connected"],
  reconnecting: ["waiting", "Reconnecting…"],
  out: ["out", "Signed out"],
};

function showState(name) {
  const [tone, text] = STATES[name];
  if (connection.textContent.startsWith(text)) return;
  connection.dataset.state = tone;
  connection.textContent = text;
  if (name !== "out") return;
  const link = document.createElement("a");
  link.href = "/";
  link.textContent = "Sign in again";
  connection.append(". ", link);
}

localise(document);

if (document.getElementById("send")) {
  new Composer(document.getElementById("send"), csrf, () => showState("out"));
}

if (page.dataset.cursor) {
  const orders = new OrderTable(document.getElementById("orders"), Number(page.dataset.maxOrders));
  const rejections = new RejectionList(document.getElementById("rejections"), Number(page.dataset.maxRejections));
  const feed = new Feed({
    csrf,
    cursor: page.dataset.cursor,
    onState: showState,
    onEvent: (event) => (event.type === "signal.rejected" ? rejections.apply(event) : orders.apply(event)),
    reload,
  });

  // Replace the rows by those of a page that the server renders now. Return its cursor, or null if nobody is signed in.
  async function reload() {
    const response = await fetch("/", { cache: "no-store" });
    const newPage = new DOMParser().parseFromString(await response.text(), "text/html");
    const cursor = newPage.getElementById("live")?.dataset.cursor;
    if (response.ok && !cursor) return null;
    if (!response.ok) throw new Error(`the page has status ${response.status}`);
    localise(newPage);
    orders.replace(newPage.getElementById("orders"));
    rejections.replace(newPage.getElementById("rejections"));
    return cursor;
  }

  feed.open();
  stopOnOtherAccount(page.dataset.account, () => feed.end());
}
