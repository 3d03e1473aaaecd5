// The position of a problem in a text. `web/dashboard.py` computes the same for pages without script: both must agree
// on what a line is, and that columns count characters: UTF-16 has two code units for some of them.

import { copyTemplate, fill, findField } from "./templates.js";

const LINE_BREAK = /\r\n|[\n\r\u2028\u2029]/;

// Return the line divided into three parts, or null if the problem has no position or is in the text inside a JSON wrapper.
function divideLine(text, problem) {
  if (problem.header) return null;
  const line = [...(text.split(LINE_BREAK)[problem.line - 1] ?? "")];
  const start = problem.column - 1;
  const end = start + problem.length;
  const marked = line.slice(start, end).join("");
  if (!marked || marked !== problem.text) return null;
  return { before: line.slice(0, start).join(""), marked, after: line.slice(end).join("") };
}

export function problemItems(text, problems) {
  return problems.map((problem) => problemItem(problem, divideLine(text, problem)));
}

function problemItem(problem, parts) {
  const item = copyTemplate("problem-item");
  fill(item, {
    ...(parts ?? { before: "", marked: problem.text, after: "" }),
    hint: problem.hint || problem.code.replaceAll("_", " "),
    position: problem.header ? `Header ${problem.header}` : `Line ${problem.line}, column ${problem.column}`,
    code: problem.code,
  });
  findField(item, "marked").parentElement.hidden = !problem.text;
  findField(item, "code").href = `/docs/errors#${problem.code}`;
  return item;
}

// Render the text into `element` with its problems underlined.
export function underline(element, text, problems) {
  const ranges = problems.map((problem) => findRange(text, problem)).filter(Boolean).sort((a, b) => a[0] - b[0]);
  const nodes = [];
  let position = 0;
  for (const [start, end] of ranges) {
    if (start < position) continue;
    const mark = document.createElement("mark");
    mark.textContent = text.slice(start, end);
    nodes.push(text.slice(position, start), mark);
    position = end;
  }
  // The space gives an empty last line the height that it has in the text box.
  element.replaceChildren(...nodes, `${text.slice(position)} `);
}

function findRange(text, problem) {
  const parts = divideLine(text, problem);
  if (!parts) return null;
  const lines = text.split("\n").slice(0, problem.line - 1);
  const start = lines.reduce((sum, line) => sum + line.length + 1, 0) + parts.before.length;
  return [start, start + parts.marked.length];
}
