// Times in the browser's time zone. The exact UTC time stays in the element's datetime and title.

const timeFormat = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const dateTimeFormat = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short",
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

export function setTime(element, timestamp) {
  const time = new Date(timestamp);
  const isToday = time.toDateString() === new Date().toDateString();
  element.dateTime = timestamp;
  element.title = timestamp;
  element.textContent = (isToday ? timeFormat : dateTimeFormat).format(time);
}

export function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]")) setTime(element, element.dateTime);
}
