// Where in a text a problem is. `web/faults.py` does the same for pages without script: the two must agree on what a
// line is, and that columns count characters, not the halves of which UTF-16 makes some.

import { copyOf, field, put } from "./drawing.js";

const BREAK = /\r\n|[\n\r\u2028\u2029]/;

// The line cut in three, or null where the problem is in no one place (or is in the text inside a JSON wrapper).
function cut(text, problem) {
  const line = [...(text.split(BREAK)[problem.line - 1] ?? "")];
  const begin = problem.column - 1;
  const end = begin + problem.length;
  const marked = line.slice(begin, end).join("");
  if (!marked || marked !== problem.text) return null;
  return { before: line.slice(0, begin).join(""), marked, after: line.slice(end).join("") };
}

export function faultItems(text, problems) {
  return problems.map((problem) => faultItem(problem, cut(text, problem)));
}

function faultItem(problem, parts) {
  const item = copyOf("fault-item");
  put(item, {
    ...(parts ?? { before: "", marked: problem.text, after: "" }),
    hint: problem.hint || problem.code.replaceAll("_", " "),
    place: `Line ${problem.line}, column ${problem.column}`,
    code: problem.code,
  });
  field(item, "marked").parentElement.hidden = !problem.text;
  field(item, "code").href = `/docs/errors#${problem.code}`;
  return item;
}

// Draw the text into `paper`, underlined where it is wrong.
export function underline(paper, text, problems) {
  const spans = problems.map((problem) => span(text, problem)).filter(Boolean).sort((a, b) => a[0] - b[0]);
  const nodes = [];
  let at = 0;
  for (const [begin, end] of spans) {
    if (begin < at) continue;
    const mark = document.createElement("mark");
    mark.textContent = text.slice(begin, end);
    nodes.push(text.slice(at, begin), mark);
    at = end;
  }
  // The blank keeps a last, empty line as high as it is in the box above.
  paper.replaceChildren(...nodes, `${text.slice(at)} `);
}

function span(text, problem) {
  const parts = cut(text, problem);
  if (!parts) return null;
  const lines = text.split("\n").slice(0, problem.line - 1);
  const begin = lines.reduce((sum, line) => sum + line.length + 1, 0) + parts.before.length;
  return [begin, begin + parts.marked.length];
}
