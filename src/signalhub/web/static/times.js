// Instants in the reader's own time. The exact one stays in the element's datetime and in its title.

const today = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const earlier = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short",
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

export function setTime(element, instant) {
  const at = new Date(instant);
  const form = at.toDateString() === new Date().toDateString() ? today : earlier;
  element.dateTime = instant;
  element.title = instant;
  element.textContent = form.format(at);
}

export function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]")) setTime(element, element.dateTime);
}
