// The table of orders. An event carries the order as it then was, so one function draws a row from any of them.

import { copyOf, field, put } from "./drawing.js";
import { setTime } from "./times.js";

export class OrderTable {
  #body; #most;
  #news = document.getElementById("news");

  constructor(body, most) {
    this.#body = body;
    this.#most = most;
  }

  take(event) {
    const order = event.data;
    const shown = document.getElementById(`order-${order.id}`);
    // The page may have been drawn after this event: then it shows a later version already.
    if (shown && Number(shown.dataset.version) >= order.version) return;
    const row = shown ?? this.#place(order.id);
    if (!row) return;
    draw(row, order);
    flash(row);
    this.#tell(order);
  }

  replace(fresh) {
    this.#body.replaceChildren(...fresh.children);
  }

  // A new row where its age puts it (ids are in order of age); none where it is older than all that is shown.
  #place(id) {
    const rows = [...this.#body.children];
    const next = rows.find((row) => row.id < `order-${id}`);
    if (!next && rows.length >= this.#most) return null;
    const row = copyOf("order-row");
    row.id = `order-${id}`;
    this.#body.insertBefore(row, next ?? null);
    if (rows.length >= this.#most) this.#body.lastElementChild.remove();
    return row;
  }

  // For those who hear the page. The last few words are enough.
  #tell(order) {
    const line = document.createElement("span");
    line.textContent = `${order.side} ${order.symbol} is ${order.status}. `;
    this.#news.append(line);
    if (this.#news.children.length > 5) this.#news.firstElementChild.remove();
  }
}

function draw(row, order) {
  row.dataset.version = order.version;
  row.dataset.status = order.status;
  put(row, {
    side: order.side,
    symbol: order.symbol,
    order_type: order.order_type.toLowerCase(),
    status: order.status,
    note: note(order),
    entry: order.entry,
    stop_loss: order.stop_loss,
    take_profits: order.take_profits.join(" · "),
    quantity: order.quantity,
    fill_price: order.fill_price,
    close_price: order.close_price,
    result: result(order),
  });
  field(row, "side").dataset.side = order.side;
  field(row, "result").dataset.sign = sign(order.pnl);
  setTime(field(row, "updated_at"), order.updated_at);
}

function note(order) {
  if (order.close_reason) return order.close_reason.replaceAll("_", " ");
  if (order.next_attempt_at) return `attempt ${order.attempts} failed, tried again`;
  return (order.reason ?? "").replaceAll("_", " ");
}

function result(order) {
  if (order.pnl === null) return "";
  return signed(order.pnl) + (order.r_multiple === null ? "" : ` (${signed(order.r_multiple)} R)`);
}

function sign(text) {
  if (text === null || Number(text) === 0) return "";
  return text.startsWith("-") ? "loss" : "gain";
}

function signed(text) {
  if (Number(text) === 0) return text;
  return text.startsWith("-") ? `−${text.slice(1)}` : `+${text}`;
}

function flash(row) {
  row.classList.remove("changed");
  void row.offsetWidth; // or the browser would see no change between removing and adding
  row.classList.add("changed");
}
