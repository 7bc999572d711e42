// The page's frame: the composer, the keys, the model, the theme. What is said is `chat.js`.

import { listModels } from "./api.js";
import { Chat } from "./chat.js";
import { byId, element, icon } from "./dom.js";
import { Settings, askForKey } from "./settings.js";
import { apiKey, keep, recall } from "./storage.js";

const prompt = byId("prompt");
const send = byId("send");
const modelList = byId("model");
let chat = null;
let models = [];

function start() {
  chat = new Chat({
    settings: new Settings(),
    onChange: (what) => (what === "edit" ? beginEdit() : showState()),
    onKeyWanted: wantKey,
  });
  showState();
  listen();
  showTheme();
  prompt.focus();
  connect();
}

/** Learn what is served; while the model is being loaded, or a key is missing, ask again. */
async function connect() {
  try {
    models = await listModels();
  } catch (error) {
    modelList.replaceChildren(element("option", {}, error.code === "loading" ? "Loading the model…" : "Not connected"));
    if (error.status === 401) await wantKey();
    else setTimeout(connect, 1000 * (error.retryAfter ?? 5));
    return;
  }
  modelList.replaceChildren(...models.map(({ id }) => element("option", { value: id }, id)));
  const wanted = recall("model", null);
  if (models.some(({ id }) => id === wanted)) modelList.value = wanted;
  modelList.disabled = models.length < 2;
  chat.model = modelList.value;
  showState();
}

/** Resolves to whether a key was given; without one the page waits until something is sent. */
async function wantKey() {
  const isGiven = await askForKey({ isWrong: apiKey() !== null });
  if (isGiven && !models.length) await connect();
  return isGiven;
}

function listen() {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  prompt.addEventListener("input", showState);
  prompt.addEventListener("keydown", (event) => {
    const isEnter = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (!isEnter) return;
    event.preventDefault();
    if (!chat.isAnswering) submit();
  });
  document.addEventListener("keydown", onKey);
  byId("cancel-edit").addEventListener("click", endEdit);
  byId("new-chat").addEventListener("click", () => {
    endEdit();
    chat.clear();
  });
  byId("bring-back").addEventListener("click", () => chat.bringBack());
  byId("suggestions").addEventListener("click", (event) => {
    const suggestion = event.target.closest("button");
    if (suggestion) say(suggestion.textContent);
  });
  byId("theme").addEventListener("click", switchTheme);
  modelList.addEventListener("change", () => {
    chat.model = modelList.value;
    keep("model", modelList.value);
    showState();
  });
}

function onKey(event) {
  if (document.querySelector("dialog[open]")) return; // Escape closes it, by itself
  const isTyping = event.target.closest?.("textarea, input, select");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    prompt.focus();
  } else if (event.key === "Escape") {
    if (chat.isAnswering) chat.stop();
    else if (chat.editing !== null) endEdit();
  }
}

function submit() {
  if (chat.isAnswering) chat.stop();
  else if (prompt.value.trim()) say(prompt.value.trim());
}

function say(text) {
  if (chat.isAnswering) return;
  prompt.value = "";
  chat.send(text);
  prompt.focus();
}

function beginEdit() {
  prompt.value = chat.edit();
  showState();
  prompt.focus();
}

function endEdit() {
  if (chat.editing === null) return;
  prompt.value = "";
  chat.cancelEdit();
  prompt.focus();
}

/** Make the page say what can be done now. */
function showState() {
  if (!chat) return;
  const word = chat.isAnswering ? "Stop" : "Send";
  if (send.title !== word) {
    send.title = word;
    send.setAttribute("aria-label", word);
    send.replaceChildren(icon(word.toLowerCase()));
  }
  send.classList.toggle("idle", !chat.isAnswering && !prompt.value.trim());
  byId("editing").hidden = chat.editing === null;
  byId("bring-back").hidden = !chat.canBringBack;
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
  showContext();
}

function showContext() {
  const size = models.find(({ id }) => id === chat.model)?.max_model_len;
  const used = chat.usage?.total_tokens;
  byId("context").hidden = !(size && used);
  if (!size || !used) return;
  const meter = byId("context-meter");
  Object.assign(meter, { max: size, high: size * 0.85, value: used });
  byId("context-words").textContent = `${used.toLocaleString("en")} of ${size.toLocaleString("en")} tokens`;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  keep("theme", theme);
  showTheme();
}

function showTheme() {
  byId("theme").setAttribute("aria-pressed", String(isDark()));
}

start();
