// The sheet of parameters, and the key where the server asks for one.

import { byId } from "./dom.js";
import { forgetAll, keep, keepApiKey, recall } from "./storage.js";

export class Settings {
  #dialog = byId("settings");
  #form = this.#dialog.querySelector("form");
  #error = byId("settings-error");

  constructor() {
    const kept = recall("settings", {});
    for (const field of this.#fields) field.value = kept[field.name] ?? "";
    this.#form.addEventListener("input", () => this.#onInput());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.close();
    });
    byId("open-settings").addEventListener("click", () => this.#dialog.showModal());
    byId("close-settings").addEventListener("click", () => this.close());
    byId("reset-settings").addEventListener("click", () => {
      this.#form.reset();
      this.#onInput();
    });
    byId("forget").addEventListener("click", () => {
      forgetAll();
      location.reload();
    });
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.close(); // beside the sheet
    });
  }

  get system() {
    return this.#form.elements.system.value.trim();
  }

  /** The parameters that were given and make sense, by the API's names. */
  get parameters() {
    const given = this.#numbers.filter((field) => field.value !== "" && field.validity.valid);
    return Object.fromEntries(given.map((field) => [field.name, field.valueAsNumber]));
  }

  close() {
    this.#dialog.close();
  }

  get #fields() {
    return [...this.#form.elements].filter((field) => field.name);
  }

  get #numbers() {
    return this.#fields.filter((field) => field.type === "number");
  }

  #onInput() {
    for (const field of this.#numbers) field.setAttribute("aria-invalid", String(!field.validity.valid));
    const wrong = this.#numbers.find((field) => !field.validity.valid);
    this.#error.hidden = !wrong;
    this.#error.textContent = wrong
      ? `${wrong.labels[0].textContent.trim()}: ${wrong.validationMessage} It is left out until then.`
      : "";
    keep("settings", Object.fromEntries(this.#fields.map((field) => [field.name, field.value])));
  }
}

/** Ask for the key; resolves to whether one was given. */
export function askForKey({ isWrong }) {
  const dialog = byId("key");
  const input = byId("key-input");
  byId("key-error").hidden = !isWrong;
  input.value = "";
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    const onClose = () => {
      const isGiven = dialog.returnValue === "given";
      if (isGiven) keepApiKey(input.value.trim());
      resolve(isGiven);
    };
    dialog.addEventListener("close", onClose, { once: true });
  });
}
