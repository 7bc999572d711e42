"""What keeping keys and values in bf16 or int8 costs in fidelity, against float32.

    python benchmarks/kv_fidelity.py                            # the embedded model, full context
    python benchmarks/kv_fidelity.py --synthetic 2b4t --prompts 2 --tokens 1024
    python benchmarks/kv_fidelity.py MODEL --tokens 2048

Texts are drawn from the model itself with float32 keys and values, from prompts of a few tokens up
to `--tokens`. Each is then computed with every type, token by token the same text (teacher forced),
and the logits are compared: the error is the largest difference of a position over the largest
magnitude of its float32 logits. Then every type goes on greedily by itself, and the first token
that differs is looked for. The seeds are fixed: the table depends on the model alone.
"""

import argparse
from dataclasses import dataclass, field
from typing import Final, get_args

import numpy as np

from tercet_engine import (
    EngineConfig,
    KvType,
    _core,  # noqa: TID251 -- logits of every position, which no runner gives
)
from tercet_engine.config import BLOCK_SIZE
from tercet_engine.model_loader import load_model
from tercet_engine.progress import Silent
from tercet_server.cli.subject import find_source

CHUNK: Final = 128
SEED: Final = 20_260_101
EXACT: Final = "f32"

Floats = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(slots=True)
class Errors:
    """What one type differs in, a value per position, or per run."""

    relative: list[float] = field(default_factory=list)
    divergence: list[float] = field(default_factory=list)
    other_argmax: list[bool] = field(default_factory=list)
    same_greedy_tokens: list[int] = field(default_factory=list)


class Text:
    """One sequence, its keys and values kept in one type."""

    def __init__(self, model: _core.Model, kv_type: KvType, max_tokens: int) -> None:
        blocks = -(-max_tokens // BLOCK_SIZE)
        self._model = model
        self._cache = _core.KVCache(model, blocks, kind=kv_type)
        self._table = np.random.default_rng(SEED).permutation(blocks).astype(np.int32)[None, :]
        self._length = 0

    def extend(self, tokens: list[int]) -> Floats:
        """Compute tokens, one chunk; return the logits after each."""
        starts = np.array([0, len(tokens)], np.int32)
        self._model.forward(
            self._cache,
            np.array(tokens, np.int32),
            starts,
            np.array([self._length], np.int32),
            self._table,
            np.arange(len(tokens), dtype=np.int32),
        )
        self._length += len(tokens)
        return self._model.logits()


def main() -> None:
    """Measure and print the table."""
    options = parse()
    source = find_source(options.model, options.synthetic)
    num_tokens = min(options.tokens, source.weights.shape.max_context)
    config = EngineConfig(
        max_context=num_tokens,
        max_batch_tokens=CHUNK,
        max_sequences=CHUNK,
        kv_cache_bytes=None,
        head=options.head,
        touch_kv_cache=False,
    )
    loaded = load_model(source.weights, config, Silent())
    model = loaded.runner.model
    errors = {kv_type: Errors() for kv_type in get_args(KvType) if kv_type != EXACT}
    rng = np.random.default_rng(SEED)
    for number in range(options.prompts):
        prompt = rng.integers(source.weights.shape.vocab_size, size=8).tolist()
        text = draw(model, prompt, num_tokens, rng)
        compare(model, text, errors)
        greedy(
            model, text[: num_tokens * (number + 1) // (2 * options.prompts)], num_tokens, errors
        )
        print(f"text {number + 1} of {options.prompts}", end="\r", flush=True)
    report(source.name, options.prompts, num_tokens, errors)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="default: the embedded model")
    parser.add_argument("--synthetic", metavar="SHAPE", help="random weights instead")
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=1 << 20, help="default: the full context")
    parser.add_argument("--head", choices=["int8", "bf16"], default="int8")
    return parser.parse_args()


def draw(
    model: _core.Model, prompt: list[int], num_tokens: int, rng: np.random.Generator
) -> list[int]:
    """A text of the model, at temperature 1."""
    text, cache = list(prompt), Text(model, EXACT, num_tokens)
    logits = cache.extend(text)[-1]
    while len(text) < num_tokens:
        noise = rng.gumbel(size=logits.size)
        text.append(int((logits + noise).argmax()))
        logits = cache.extend(text[-1:])[-1]
    return text


def compare(model: _core.Model, text: list[int], errors: dict[KvType, Errors]) -> None:
    """The same text with every type: errors of the logits after each token."""
    exact = Text(model, EXACT, len(text))
    others = {kv_type: Text(model, kv_type, len(text)) for kv_type in errors}
    for begin in range(0, len(text), CHUNK):
        chunk = text[begin : begin + CHUNK]
        wanted = exact.extend(chunk)
        largest = np.abs(wanted).max(axis=1)
        for kv_type, other in others.items():
            logits = other.extend(chunk)
            of = errors[kv_type]
            of.relative += (np.abs(logits - wanted).max(axis=1) / largest).tolist()
            of.other_argmax += (logits.argmax(axis=1) != wanted.argmax(axis=1)).tolist()
            of.divergence += divergence(wanted, logits).tolist()


def divergence(wanted: Floats, logits: Floats) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Kullback-Leibler divergence of each position's distribution, in nats."""
    log_p, log_q = log_softmax(wanted), log_softmax(logits)
    total: np.ndarray[tuple[int], np.dtype[np.float64]] = (np.exp(log_p) * (log_p - log_q)).sum(
        axis=1
    )
    return total


def log_softmax(logits: Floats) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    x -= np.log(np.exp(x).sum(axis=1, keepdims=True))
    return x


def greedy(
    model: _core.Model, prompt: list[int], num_tokens: int, errors: dict[KvType, Errors]
) -> None:
    """Every type goes on from a prompt by itself, to the end of the context."""
    wanted = go_on(model, EXACT, prompt, num_tokens)
    for kv_type, of in errors.items():
        tokens = go_on(model, kv_type, prompt, num_tokens)
        same = [a == b for a, b in zip(tokens, wanted, strict=True)]
        of.same_greedy_tokens.append(same.index(False) if False in same else len(same))


def go_on(model: _core.Model, kv_type: KvType, prompt: list[int], num_tokens: int) -> list[int]:
    text, tokens = Text(model, kv_type, num_tokens), []
    for begin in range(0, len(prompt), CHUNK):
        logits = text.extend(prompt[begin : begin + CHUNK])
    while len(prompt) + len(tokens) < num_tokens:
        tokens.append(int(logits[-1].argmax()))
        logits = text.extend(tokens[-1:])
    return tokens


def report(name: str, num_texts: int, num_tokens: int, errors: dict[KvType, Errors]) -> None:
    print(f"{name}: {num_texts} texts of {num_tokens} tokens, against {EXACT} keys and values\n")
    print(
        "| kv type | relative error of the logits: mean | 99 % | max | mean KL, nats "
        "| other likeliest token | greedy: same to the end | first other token, median |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for kv_type, of in errors.items():
        relative = np.array(of.relative)
        same = np.array(of.same_greedy_tokens)
        room = [num_tokens - num_tokens * (i + 1) // (2 * num_texts) for i in range(num_texts)]
        kept = same == np.array(room)
        first = f"{np.median(same[~kept]):.0f}" if not kept.all() else "none"
        print(
            f"| {kv_type} | {relative.mean():.2%} | {np.quantile(relative, 0.99):.2%} "
            f"| {relative.max():.2%} | {np.mean(of.divergence):.1e} "
            f"| {np.mean(of.other_argmax):.2%} | {kept.sum()} of {num_texts} | {first} |"
        )


if __name__ == "__main__":
    main()
