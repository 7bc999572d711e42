// What the browser keeps for this page. Where it keeps nothing, the page works all the same.

const PREFIX = "tercet.";
const KEY = "tercet.key";
let isForgotten = false;

/** What was kept under a name, or `otherwise`. */
export function recall(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keep a value under a name. */
export function keep(name, value) {
  if (isForgotten) return;
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Full or forbidden: it lasts as long as the page does.
  }
}

/** Forget all of it, the key too, and keep nothing more: the page is about to be loaded anew. */
export function forgetAll() {
  isForgotten = true;
  try {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
    for (const name of names) localStorage.removeItem(name);
    sessionStorage.removeItem(KEY);
  } catch {
    // There was nothing to forget.
  }
}

let keyOfThisPage = null;

/** The API key, which lasts as long as the tab. */
export function apiKey() {
  try {
    return keyOfThisPage ?? sessionStorage.getItem(KEY);
  } catch {
    return keyOfThisPage;
  }
}

/** Keep the API key until the tab is closed. */
export function keepApiKey(key) {
  keyOfThisPage = key;
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // It lasts as long as the page does.
  }
}
