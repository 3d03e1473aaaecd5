// The table of orders. Every event carries the whole order as it was then, so one function renders a row from any event.

import { copyTemplate, fill, findField } from "./templates.js";
import { setTime } from "./times.js";

export class OrderTable {
  #body; #maxRows;
  #log = document.getElementById("order-log");

  constructor(body, maxRows) {
    this.#body = body;
    this.#maxRows = maxRows;
  }

  apply(event) {
    const order = event.data;
    const existing = document.getElementById(`order-${order.id}`);
    // The page may have been rendered after this event, with a later version.
    if (existing && Number(existing.dataset.version) >= order.version) return;
    const row = existing ?? this.#insertRow(order.id);
    if (!row) return;
    render(row, order);
    flash(row);
    this.#logChange(order);
  }

  replace(body) {
    this.#body.replaceChildren(...body.children);
  }

  // Insert a row in the order of ids, which is that of age. Return null for an order older than all rows of a full table.
  #insertRow(id) {
    const rows = [...this.#body.children];
    const next = rows.find((row) => row.id < `order-${id}`);
    if (!next && rows.length >= this.#maxRows) return null;
    const row = copyTemplate("order-row");
    row.id = `order-${id}`;
    this.#body.insertBefore(row, next ?? null);
    if (rows.length >= this.#maxRows) this.#body.lastElementChild.remove();
    return row;
  }

  // Log the change for screen readers, which read what is appended. The last few lines are enough.
  #logChange(order) {
    const line = document.createElement("span");
    line.textContent = `${order.side} ${order.symbol} is ${order.status}. `;
    this.#log.append(line);
    if (this.#log.children.length > 5) this.#log.firstElementChild.remove();
  }
}

function render(row, order) {
  row.dataset.version = order.version;
  row.dataset.status = order.status;
  fill(row, {
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
  findField(row, "side").dataset.side = order.side;
  findField(row, "result").dataset.sign = sign(order.pnl);
  setTime(findField(row, "updated_at"), order.updated_at);
}

function note(order) {
  if (order.close_reason) return order.close_reason.replaceAll("_", " ");
  if (order.next_attempt_at) return `attempt ${order.attempts} failed, retry scheduled`;
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
  void row.offsetWidth; // forces a layout, or the browser would see no change between removing and adding
  row.classList.add("changed");
}
