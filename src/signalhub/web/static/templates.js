// Copies of a <template>, filled in by name: each element that shows a value has a data-field attribute.

export function copyTemplate(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

export function findField(element, name) {
  return element.querySelector(`[data-field="${name}"]`);
}

export function fill(element, values) {
  for (const [name, text] of Object.entries(values)) findField(element, name).textContent = text;
}
