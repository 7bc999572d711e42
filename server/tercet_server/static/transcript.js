// The conversation on the page: one list entry a turn, and a notice below them when something is wrong.

import { button, byId, copyButton, element } from "./dom.js";
import { inWords } from "./figures.js";
import { Markdown } from "./markdown.js";

const NEAR_END_PIXELS = 80;

/** One turn. What people wrote is shown as they wrote it; what the model wrote, as Markdown. */
class TurnView {
  #content = element("div", { class: "content" });
  #thoughts = element("div", { class: "thoughts" });
  #thinking = element("details", { class: "thinking" }, element("summary", {}, "Thoughts"), this.#thoughts);
  #figures = element("span", { class: "figures" });
  #actions = element("span", { class: "actions" });
  #markdown = new Markdown(this.#content);
  #turn;

  constructor(turn) {
    this.#turn = turn;
    const name = turn.role === "user" ? "You" : "Model";
    const foot = element("div", { class: "foot" }, this.#actions, this.#figures);
    const article = element("article", { "aria-label": name }, this.#content, foot);
    this.entry = element("li", { class: turn.role }, article);
    this.update();
  }

  update() {
    const { role, content, reasoning, figures } = this.#turn;
    if (role === "user") this.#content.textContent = content;
    else this.#markdown.show(content);
    if (reasoning) {
      if (!this.#thinking.isConnected) this.#content.before(this.#thinking);
      this.#thoughts.textContent = reasoning;
    }
    this.#figures.textContent = figures ? inWords(figures) : "";
  }

  setBusy(isBusy) {
    this.entry.classList.toggle("busy", isBusy);
    this.entry.firstChild.setAttribute("aria-busy", String(isBusy));
  }

  setActions(more) {
    this.#actions.replaceChildren(copyButton(() => this.#turn.content), ...more);
  }
}

export class Transcript {
  #list = byId("transcript");
  #scroll = byId("scroll");
  #toEnd = byId("to-end");
  #notice = byId("notice");
  #views = [];
  #countdown = null;
  #follows = true;

  constructor() {
    this.#scroll.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.#toEnd.addEventListener("click", () => this.goToEnd());
  }

  /** Draw the turns anew. */
  show(turns) {
    this.#views = [];
    this.#list.replaceChildren();
    for (const turn of turns) this.add(turn);
    this.goToEnd();
  }

  add(turn) {
    const view = new TurnView(turn);
    this.#views.push(view);
    this.#list.append(view.entry);
    byId("welcome").hidden = true;
    return view;
  }

  cut(index) {
    for (const view of this.#views.splice(index)) view.entry.remove();
  }

  /** Give each turn its buttons; `actionsOf(index)` tells those beside Copy. */
  setActions(actionsOf) {
    this.#views.forEach((view, index) => view.setActions(actionsOf(index)));
    byId("welcome").hidden = this.#views.length > 0;
    this.follow();
  }

  /** Keep the end in sight, unless the reader has gone elsewhere. */
  follow() {
    if (this.#follows) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#onScroll();
  }

  goToEnd() {
    this.#follows = true;
    this.follow();
  }

  /** Say something below the turns, with a way on: after `seconds`, which are counted down, if given. */
  notify(words, { onRetry, isMild = false, seconds = null }) {
    this.clearNotice();
    this.#notice.classList.toggle("mild", isMild);
    const retry = button("Try again", "again", onRetry);
    this.#notice.replaceChildren(element("p", {}, words), retry);
    this.#notice.hidden = false;
    byId("alarm").textContent = words; // once, and not again with each second that is counted
    if (seconds) this.#countDown(retry, Math.ceil(seconds));
    this.goToEnd();
  }

  clearNotice() {
    clearInterval(this.#countdown);
    this.#notice.hidden = true;
    this.#notice.replaceChildren();
    byId("alarm").textContent = "";
  }

  #countDown(retry, seconds) {
    const word = retry.lastChild;
    const tell = () => {
      retry.disabled = seconds > 0;
      word.textContent = seconds > 0 ? `Try again in ${seconds} s` : "Try again";
      if (seconds <= 0) clearInterval(this.#countdown);
      seconds -= 1;
    };
    tell();
    this.#countdown = setInterval(tell, 1000);
  }

  #onScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR_END_PIXELS;
    this.#toEnd.hidden = this.#follows;
  }
}
