// Filling copies of a <template>: every place that shows something has a data-field of that name.

export function copyOf(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

export function field(element, name) {
  return element.querySelector(`[data-field="${name}"]`);
}

export function put(element, values) {
  for (const [name, text] of Object.entries(values)) field(element, name).textContent = text;
}
