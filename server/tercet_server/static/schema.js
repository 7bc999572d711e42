// Says a JSON schema in a few words: "number 0 to 2", "list of at most 4 text".

const WORDS = { string: "text", integer: "whole number", number: "number", boolean: "true or false", object: "object" };

const NAMES = { "2147483647": "2^31 − 1", "18446744073709552000": "2^64 − 1", "-9223372036854776000": "−2^63" };

/** A schema's words; `schemas` are what its references lead to. */
export function typeOf(schema, schemas, depth = 0) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    const fields = Object.keys(schemas[name]?.properties ?? {});
    return depth < 2 && fields.length && fields.length <= 6 ? `{${fields.join(", ")}}` : name;
  }
  const forms = (schema.anyOf ?? schema.oneOf)?.filter((form) => form.type !== "null");
  if (forms) return [...new Set(forms.map((form) => typeOf(form, schemas, depth)))].join(", or ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.type === "array") {
    const limit = schema.maxItems ? ` of at most ${schema.maxItems}` : " of";
    return `list${limit} ${typeOf(schema.items ?? {}, schemas, depth + 1)}`;
  }
  return `${WORDS[schema.type] ?? "anything"}${bounds(schema)}`;
}

function bounds(schema) {
  const low = schema.minimum ?? (schema.exclusiveMinimum === undefined ? undefined : `over ${schema.exclusiveMinimum}`);
  const high = schema.maximum;
  if (low !== undefined && high !== undefined) return ` ${NAMES[low] ?? low} to ${NAMES[high] ?? high}`;
  if (low !== undefined) return ` from ${low}`;
  if (schema.maxLength !== undefined) return `, at most ${schema.maxLength} characters`;
  return "";
}
