// Asks, answers, stops, asks again: the one place that changes the conversation.

import { ApiError, streamChat } from "./api.js";
import { Conversation } from "./conversation.js";
import { button, byId } from "./dom.js";
import { Pace } from "./figures.js";
import { Transcript } from "./transcript.js";

export class Chat {
  #conversation = new Conversation();
  #transcript = new Transcript();
  #settings;
  #onChange;
  #onKeyWanted;
  #aborter = null;
  #cleared = null;

  /**
   * @param settings gives `system` and `parameters`.
   * @param onChange is called whenever what can be done has changed.
   * @param onKeyWanted is called when the server refuses the key; resolves to whether one was given.
   */
  constructor({ settings, onChange, onKeyWanted }) {
    this.#settings = settings;
    this.#onChange = onChange;
    this.#onKeyWanted = onKeyWanted;
    this.model = null;
    this.usage = null;
    this.editing = null;
    this.#transcript.show(this.#conversation.turns);
    if (this.#conversation.last("user")) this.#offer("This message has no answer yet.", { isMild: true });
    this.#changed();
    addEventListener("pagehide", () => this.#conversation.keep());
  }

  get isAnswering() {
    return this.#aborter !== null;
  }

  get canBringBack() {
    return Boolean(this.#cleared?.length) && !this.#conversation.turns.length;
  }

  /** Say something, in the place of the last message if that is being edited. */
  async send(text) {
    if (this.editing !== null) this.#cut(this.editing);
    this.editing = null;
    this.#transcript.add(this.#conversation.add({ role: "user", content: text }));
    await this.#answer();
  }

  stop() {
    this.#aborter?.abort();
  }

  /** Begin anew; what was said can be brought back until the next message. */
  clear() {
    this.stop();
    this.#aborter = null; // what still comes of that answer is no longer ours
    this.editing = null;
    this.usage = null;
    this.#cleared = this.#conversation.replace([]);
    this.#transcript.show([]);
    this.#transcript.clearNotice();
    this.#changed();
  }

  bringBack() {
    this.#conversation.replace(this.#cleared);
    this.#transcript.show(this.#conversation.turns);
    this.#changed();
  }

  /** Take the last message up again; returns its text. */
  edit() {
    this.editing = this.#conversation.turns.findLastIndex((turn) => turn.role === "user");
    this.#changed();
    return this.#conversation.turns[this.editing].content;
  }

  cancelEdit() {
    this.editing = null;
    this.#changed();
  }

  async #again() {
    if (this.isAnswering) return;
    if (this.#conversation.last("assistant")) this.#cut(this.#conversation.turns.length - 1);
    await this.#answer();
  }

  async #answer() {
    const body = {
      model: this.model,
      messages: this.#conversation.messages(this.#settings.system),
      ...this.#settings.parameters,
    };
    const aborter = (this.#aborter = new AbortController());
    const turn = this.#conversation.add({ role: "assistant", content: "" });
    const view = this.#transcript.add(turn);
    view.setBusy(true);
    this.#transcript.clearNotice();
    this.#transcript.goToEnd();
    this.#changed();
    const failure = await this.#stream(body, turn, view, aborter.signal);
    view.setBusy(false);
    if (this.#aborter === aborter) this.#aborter = null;
    if (this.#conversation.turns.includes(turn)) this.#finish(turn, failure);
  }

  /** Fill the turn as the answer comes. Returns what ended it early: an error, or null. */
  async #stream(body, turn, view, signal) {
    const pace = new Pace();
    let [usage, ending, failure, frame] = [null, null, null, null];
    const draw = () => {
      frame = null;
      turn.figures = pace.figures(usage, ending);
      view.update();
      this.#transcript.follow();
    };
    try {
      for await (const chunk of streamChat(body, signal)) {
        const choice = chunk.choices[0];
        const { content, reasoning_content: reasoning } = choice?.delta ?? {};
        if (content || reasoning) pace.piece();
        if (content) turn.content += content;
        if (reasoning) turn.reasoning = (turn.reasoning ?? "") + reasoning;
        ending = choice?.finish_reason ?? ending;
        usage = chunk.usage ?? usage;
        frame ??= requestAnimationFrame(draw);
      }
    } catch (error) {
      failure = error;
      ending = error.name === "AbortError" ? "stopped" : "failed";
    }
    cancelAnimationFrame(frame);
    draw();
    this.usage = usage;
    return failure;
  }

  #finish(turn, failure) {
    if (!turn.content && !turn.reasoning && failure) this.#cut(this.#conversation.turns.length - 1);
    this.#conversation.keep();
    this.#changed();
    if (!failure) {
      byId("said").textContent = `Model: ${turn.content}`;
    } else if (failure.name === "AbortError") {
      byId("said").textContent = "Stopped.";
      if (this.#conversation.last("user")) this.#offer("Stopped before the first word.", { isMild: true });
    } else {
      this.#fail(failure);
    }
  }

  #fail(error) {
    if (!(error instanceof ApiError)) console.error(error);
    const words = error instanceof ApiError ? error.message : "Something in this page went wrong.";
    this.#offer(words, { seconds: error.retryAfter });
    if (error.status === 401) this.#onKeyWanted().then((isGiven) => isGiven && this.#again());
  }

  #offer(words, options) {
    this.#transcript.notify(words, { onRetry: () => this.#again(), ...options });
  }

  #cut(index) {
    this.#conversation.cut(index);
    this.#transcript.cut(index);
  }

  #changed() {
    const turns = this.#conversation.turns;
    const lastOfUser = turns.findLastIndex((turn) => turn.role === "user");
    this.#transcript.setActions((index) => {
      if (this.isAnswering) return [];
      if (index === lastOfUser) return [button("Edit", "edit", () => this.#onChange("edit"))];
      const isLast = index === turns.length - 1;
      return isLast ? [button("Regenerate", "again", () => this.#again())] : [];
    });
    this.#onChange("state");
  }
}
