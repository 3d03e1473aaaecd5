// The list of rejected signals, newest first: the text as it was sent, and its problems.

import { problemItems } from "./problems.js";
import { copyTemplate, fill, findField } from "./templates.js";
import { setTime } from "./times.js";

export class RejectionList {
  #list; #maxRows;

  constructor(list, maxRows) {
    this.#list = list;
    this.#maxRows = maxRows;
  }

  apply(event) {
    const id = `rejection-${event.signal_id}`;
    if (document.getElementById(id)) return;
    const item = copyTemplate("rejection-item");
    item.id = id;
    fill(item, { raw: event.data.raw });
    setTime(findField(item, "received_at"), event.at);
    findField(item, "problems").replaceChildren(...problemItems(event.data.raw, event.data.errors));
    item.classList.add("changed");
    this.#list.prepend(item);
    if (this.#list.children.length > this.#maxRows) this.#list.lastElementChild.remove();
  }

  replace(list) {
    this.#list.replaceChildren(...list.children);
  }
}
