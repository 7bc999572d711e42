// The little Markdown that models write, as DOM nodes: code, lists, headings, bold, italic. Anything
// else, HTML included, stays the text it is. Links stay text too: a model does not send people places.

import { copyButton, element } from "./dom.js";

const FENCE = /^ {0,3}(`{3,}(?!.*`)|~{3,})\s*([\w+#.-]*)/;
const ITEM = /^(\s*)(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;
const HEADING = /^ {0,3}#{1,6}\s+(.*?)\s*#*$/;
const INLINE = /(`+)(.+?)\1(?!`)|\*\*(?=\S)(.+?)\*\*|\*(?=[^\s*])([^*\n]+?)\*/gs;

/** Shows a text that grows: blocks that have not changed stay, so that a selection in them does. */
export class Markdown {
  #target;
  #sources = [];

  constructor(target) {
    this.#target = target;
  }

  show(text) {
    const blocks = blocksOf(text);
    const sources = blocks.map((block) => JSON.stringify(block));
    let kept = 0;
    while (kept < sources.length && sources[kept] === this.#sources[kept]) kept += 1;
    while (this.#target.childNodes.length > kept) this.#target.lastChild.remove();
    this.#target.append(...blocks.slice(kept).map(draw));
    this.#sources = sources;
  }
}

/** Cut a text into blocks: `{kind, ...}`, by lines and in one pass. */
function blocksOf(text) {
  const blocks = [];
  let fence = null;
  for (const line of text.replaceAll("\r\n", "\n").split("\n")) {
    const last = blocks.at(-1);
    const opening = FENCE.exec(line);
    if (fence) {
      if (opening?.[1].startsWith(fence) && line.trim() === opening[1]) fence = null;
      else last.lines.push(line);
    } else if (opening) {
      fence = opening[1];
      blocks.push({ kind: "code", language: opening[2], lines: [] });
    } else if (!line.trim()) {
      if (last) last.ended = true;
    } else {
      addLine(blocks, last, line);
    }
  }
  return blocks.map(({ ended, ...block }) => block);
}

function addLine(blocks, last, line) {
  const heading = HEADING.exec(line);
  const item = ITEM.exec(line);
  if (heading) {
    blocks.push({ kind: "heading", text: heading[1], ended: true });
  } else if (item) {
    const [, indent, number, text] = item;
    const entry = { depth: indent.length > 1 ? 1 : 0, ordered: number !== undefined, text };
    const belongs = last?.kind === "list" && (entry.depth || entry.ordered === last.items[0].ordered);
    if (belongs) last.items.push(entry);
    else blocks.push({ kind: "list", start: Number(number ?? 1), items: [entry] });
    blocks.at(-1).ended = false;
  } else if (last?.kind === "list" && !last.ended) {
    last.items.at(-1).text += `\n${line.trim()}`;
  } else if (last?.kind === "text" && !last.ended) {
    last.text += `\n${line}`;
  } else {
    blocks.push({ kind: "text", text: line });
  }
}

function draw(block) {
  if (block.kind === "code") return drawCode(block);
  if (block.kind === "list") return drawList(block);
  if (block.kind === "heading") return element("p", { class: "heading" }, ...inline(block.text));
  return element("p", {}, ...inline(block.text));
}

function drawCode({ language, lines }) {
  const text = lines.join("\n");
  const bar = element("div", { class: "bar" }, element("span", {}, language || "code"), copyButton(() => text, "Copy code"));
  const code = element("pre", { tabindex: "0", role: "region", "aria-label": "Code" }, element("code", {}, text));
  return element("div", { class: "code" }, bar, code);
}

/** Two levels: items that are indented hang below the one before them. */
function drawList({ start, items }) {
  const tag = (item) => (item.ordered ? "ol" : "ul");
  const list = element(tag(items[0]), items[0].ordered && start !== 1 ? { start } : {});
  for (const item of items) {
    const drawn = element("li", {}, ...inline(item.text));
    const above = list.lastElementChild;
    if (!item.depth || !above) {
      list.append(drawn);
    } else if (above.lastElementChild?.matches("ul, ol")) {
      above.lastElementChild.append(drawn);
    } else {
      above.append(element(tag(item), {}, drawn));
    }
  }
  return list;
}

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, , code, bold, italic] = match;
    if (match.index > end) nodes.push(text.slice(end, match.index));
    if (code !== undefined) nodes.push(element("code", {}, code.trim() || code));
    else if (bold !== undefined) nodes.push(element("strong", {}, ...inline(bold)));
    else nodes.push(element("em", {}, ...inline(italic)));
    end = match.index + whole.length;
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}
