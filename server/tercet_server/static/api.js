// The server's API. Every failure is an `ApiError` whose message is a sentence to show.

import { apiKey } from "./storage.js";

const ADVICE = {
  context_length_exceeded: "Start a new chat, or edit the last message to be shorter.",
  overloaded: "The server is busy.",
  loading: "The model is still being loaded.",
  shutting_down: "The server is shutting down.",
};

/** What went wrong. `retryAfter`: seconds after which another try makes sense, or null. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

/** The models served: `{id, max_model_len}`. */
export async function listModels() {
  const response = await call("v1/models");
  return (await response.json()).data;
}

/** Yield the chunks of an answer until it is whole; throws AbortError when `signal` says so. */
export async function* streamChat(body, signal) {
  const response = await call("v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  try {
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw inWords(chunk.error, response.status, null);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof ApiError || error.name === "AbortError") throw error;
  }
  throw new ApiError("The connection was lost before the answer was complete.");
}

async function call(path, options = {}) {
  const key = apiKey();
  const headers = { ...options.headers, ...(key && { authorization: `Bearer ${key}` }) };
  let response;
  try {
    // Relative to the page, so that it works behind a proxy's path too.
    response = await fetch(new URL(path, document.baseURI), { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is it running, and is the network up?");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw inWords(body.error ?? {}, response.status, response.headers);
}

function inWords({ message, code = null }, status, headers) {
  const said = message ? sentence(message) : `The server answered with status ${status}.`;
  const retry = Number.parseFloat(headers?.get("retry-after") ?? "");
  const retryAfter = Number.isFinite(retry) ? Math.min(Math.max(retry, 1), 600) : null;
  const words = retryAfter ? (ADVICE[code] ?? said) : [said, ADVICE[code]].filter(Boolean).join(" ");
  return new ApiError(words, { status, code, retryAfter });
}

function sentence(words) {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** The data of each server-sent event; comments that keep the stream alive are passed over. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  }
}
