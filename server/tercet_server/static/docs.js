// Shows openapi.json: operations by heading, fields with their bounds, examples to copy.

import { byId, copyButton, element } from "./dom.js";
import { typeOf } from "./schema.js";

const about = byId("about");

try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  show(await response.json());
} catch (error) {
  about.textContent = `openapi.json could not be read: ${error.message}`;
}

function show(document) {
  about.replaceChildren(
    `${document.info.description} For programs: `, element("a", { href: "openapi.json" }, "openapi.json"), ".");
  const headings = new Map();
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const heading = operation.tags?.[0] ?? "Other";
      headings.set(heading, [...(headings.get(heading) ?? []), shown(method, path, operation, document)]);
    }
  }
  byId("operations").replaceChildren(
    ...[...headings].flatMap(([heading, operations]) => [element("h2", {}, heading), ...operations]));
}

function shown(method, path, operation, document) {
  const body = operation.requestBody?.content["application/json"];
  const inside = element("div");
  if (body) {
    inside.append(element("h3", {}, "Body"), fields(body.schema, document));
    for (const { summary, value } of Object.values(body.examples ?? {})) {
      inside.append(example(summary, command(path, value)));
    }
  } else if (!path.includes("{")) {
    inside.append(example("as a command", `curl ${address(path)}`));
  }
  for (const [type, { schema }] of Object.entries(operation.responses["200"]?.content ?? {})) {
    if (!schema || Object.keys(schema).length === 0) continue;
    inside.append(element("h3", {}, type === "application/json" ? "Answer" : `Each event of a stream (${type})`));
    for (const kind of schema.oneOf ?? [schema]) inside.append(fields(kind, document));
  }
  const errors = Object.entries(operation.responses).filter(([status]) => status >= 400);
  if (errors.length) {
    const rows = errors.map(([status, { description }]) => [status, description]);
    inside.append(element("h3", {}, "Errors"), table(rows));
  }
  return element("details", { class: "operation" },
    element("summary", {},
      element("span", { class: "method" }, method.toUpperCase()),
      element("span", { class: "path" }, path),
      element("span", { class: "summary" }, operation.summary ?? "")),
    inside);
}

/** The fields of an object: name, type with bounds, what it does. */
function fields(schema, document) {
  const name = schema.$ref?.split("/").pop();
  const found = name ? document.components.schemas[name] : schema;
  const required = new Set(found.required ?? []);
  const rows = Object.entries(found.properties ?? {}).map(([field, part]) => [
    element("code", required.has(field) ? { class: "required" } : {}, field),
    typeOf(part, document.components.schemas),
    part.description ?? "",
  ]);
  return table(rows);
}

function table(rows) {
  const made = rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell))));
  return element("table", {}, element("tbody", {}, ...made));
}

function example(title, text) {
  return element("div", { class: "example" },
    element("div", { class: "title" }, element("span", {}, title), copyButton(() => text)),
    element("pre", { tabindex: "0" }, text));
}

function command(path, body) {
  const json = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return `curl ${address(path)} -H 'Content-Type: application/json' -d '${json}'`;
}

/** Where the document lies, the API lies too, behind a proxy's path as well. */
function address(path) {
  return new URL(`.${path}`, document.baseURI).href;
}
