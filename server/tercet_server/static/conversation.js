// The turns of the conversation, kept in the browser. A turn is {role, content, reasoning?, figures?}.

import { keep, recall } from "./storage.js";

const MAX_KEPT_CHARS = 400_000;

export class Conversation {
  #turns;

  constructor() {
    const kept = recall("conversation", []);
    this.#turns = Array.isArray(kept) ? kept.filter(isTurn) : [];
  }

  get turns() {
    return this.#turns;
  }

  /** The last turn, if it is of that role. */
  last(role) {
    const turn = this.#turns.at(-1);
    return turn?.role === role ? turn : null;
  }

  add(turn) {
    this.#turns.push(turn);
    this.keep();
    return turn;
  }

  /** Take out the turns from an index on. */
  cut(index) {
    const cut = this.#turns.splice(index);
    this.keep();
    return cut;
  }

  /** Put turns in the place of those there are; returns the latter. */
  replace(turns) {
    const before = this.#turns;
    this.#turns = turns;
    this.keep();
    return before;
  }

  /** The oldest turns are dropped from what the browser keeps, not from the page. */
  keep() {
    const turns = this.#turns.filter((turn) => turn.content || turn.reasoning);
    let chars = JSON.stringify(turns).length;
    while (turns.length > 1 && chars > MAX_KEPT_CHARS) {
      chars -= JSON.stringify(turns.shift()).length;
    }
    keep("conversation", turns);
  }

  /** As the API takes it: a system prompt if there is one, then what was said. */
  messages(system) {
    const said = this.#turns.filter((turn) => turn.content || turn.role === "user");
    const turns = said.map(({ role, content }) => ({ role, content }));
    return system ? [{ role: "system", content: system }, ...turns] : turns;
  }
}

function isTurn(turn) {
  return ["user", "assistant"].includes(turn?.role) && typeof turn.content === "string";
}
