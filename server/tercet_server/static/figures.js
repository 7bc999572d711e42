// How fast an answer comes. Live counts are of pieces, about one a token; the end brings the true count.

/** Under so long, what is measured is how the network hands over what was long there. */
const LEAST_SECONDS = 0.02;

/** Follows one answer from the moment it is asked for. */
export class Pace {
  #asked = performance.now();
  #first = null;
  #last = null;
  #pieces = 0;

  piece() {
    this.#last = performance.now();
    this.#first ??= this.#last;
    this.#pieces += 1;
  }

  /** `usage` is the server's count, once there is one. */
  figures(usage, ending) {
    const tokens = usage?.completion_tokens ?? this.#pieces;
    const seconds = (this.#last - this.#first) / 1000;
    return {
      secondsToFirst: this.#first === null ? null : (this.#first - this.#asked) / 1000,
      tokensPerSecond: tokens > 1 && seconds >= LEAST_SECONDS ? (tokens - 1) / seconds : null,
      tokens,
      isCounted: Boolean(usage),
      ending,
    };
  }
}

const ENDINGS = {
  length: "ended by the limit of tokens",
  stopped: "stopped",
  failed: "broken off",
};

/** The figures in words, "first token 0.09 s · 84 tokens/s · 132 tokens". */
export function inWords({ secondsToFirst, tokensPerSecond, tokens, isCounted, ending }) {
  const about = isCounted ? "" : "≈ ";
  const parts = [];
  if (secondsToFirst !== null) parts.push(`first token ${secondsToFirst.toFixed(2)} s`);
  if (tokensPerSecond !== null) {
    const digits = tokensPerSecond < 10 ? 1 : 0;
    parts.push(`${about}${tokensPerSecond.toFixed(digits)} tokens/s`);
  }
  if (tokens) parts.push(`${about}${tokens} ${tokens === 1 ? "token" : "tokens"}`);
  if (ENDINGS[ending]) parts.push(ENDINGS[ending]);
  return parts.join(" · ");
}
