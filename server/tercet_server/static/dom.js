// Makes elements. Text goes in as text: nothing here, or elsewhere, parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** The element with an id, which the page must have. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** An element with attributes and children; a string becomes text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** One of the page's own drawings. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A small button with a drawing and a word. */
export function button(word, drawing, onClick) {
  const made = element("button", { type: "button", class: "quiet" }, icon(drawing), element("span", {}, word));
  made.addEventListener("click", onClick);
  return made;
}

/** A button that copies what `text` gives, and says that it has. */
export function copyButton(text, name = "Copy") {
  const made = button(name, "copy", async () => {
    const word = (await copy(text())) ? "Copied" : "Not allowed";
    made.replaceChildren(icon("done"), element("span", { role: "status" }, word));
    setTimeout(() => made.replaceChildren(icon("copy"), element("span", {}, name)), 1600);
  });
  return made;
}

/** Browsers give pages without TLS no clipboard; selecting and copying still works there. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = document.activeElement;
    const field = element("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return done;
  }
}
