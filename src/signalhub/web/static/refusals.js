// The list of refused signals, newest first: the text as it came, and what is wrong with it.

import { copyOf, field, put } from "./drawing.js";
import { faultItems } from "./faults.js";
import { setTime } from "./times.js";

export class RefusalList {
  #list; #most;

  constructor(list, most) {
    this.#list = list;
    this.#most = most;
  }

  take(event) {
    const id = `refusal-${event.signal_id}`;
    if (document.getElementById(id)) return;
    const item = copyOf("refusal-item");
    item.id = id;
    put(item, { raw: event.data.raw });
    setTime(field(item, "received_at"), event.at);
    field(item, "faults").replaceChildren(...faultItems(event.data.raw, event.data.errors));
    item.classList.add("changed");
    this.#list.prepend(item);
    if (this.#list.children.length > this.#most) this.#list.lastElementChild.remove();
  }

  replace(fresh) {
    this.#list.replaceChildren(...fresh.children);
  }
}
