"""The checks, one after the other, each telling what it found.

They compute as exactly as the engine can (a bfloat16 head, keys and values in float32), so that
what differs from published numbers is not of our own rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tercet_engine.checkpoint import Checkpoint, Float32Array
from tercet_engine.config import EngineConfig
from tercet_engine.errors import LoadError
from tercet_engine.gguf_checkpoint import GgufCheckpoint
from tercet_engine.kernel_choice import self_test, supported_kernels
from tercet_engine.model_loader import LoadedModel, load_model
from tercet_engine.packed.checkpoint import PackedCheckpoint
from tercet_engine.progress import ProgressListener, Silent
from tercet_engine.tokenizer import Tokenizer
from tercet_engine.verification.references import Reference, is_known

CONFIG: Final = EngineConfig(
    max_context=256,
    max_batch_tokens=256,
    max_sequences=8,
    head="bf16",
    activations="int16",
    kv_type="f32",
    touch_kv_cache=False,
    speculation="off",
)
AnyCheckpoint = Checkpoint | GgufCheckpoint | PackedCheckpoint
_TEXT: Final = "The quick brown fox jumps over the lazy dog, and the dog does not mind."
_MAX_TOKENS: Final = 16
_PIECE: Final = 3


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found; `has_passed` is None where there was nothing to compare with."""

    name: str
    has_passed: bool | None
    detail: str


def verify(
    checkpoint: AnyCheckpoint,
    tokenizer: Tokenizer,
    reference: Reference | None,
    *,
    num_threads: int | None = None,
    progress: Callable[[], ProgressListener] = Silent,
) -> Iterator[Check]:
    """Check a model; yields each result as soon as it is there.

    Args:
        checkpoint: the model.
        tokenizer: its own.
        reference: its published numbers; None: there are none.
        num_threads: to compute with; None: as many as may be used.
        progress: makes a listener for each time that the weights are loaded.

    Raises:
        LoadError: it cannot be loaded at all.
    """
    context = min(CONFIG.max_context or 0, checkpoint.shape.max_context)
    config = replace(CONFIG, max_context=context, num_threads=num_threads)
    kernels = supported_kernels()
    for name in kernels:
        problem = self_test(name)
        yield Check(f"kernels {name} equal the scalar reference", not problem, problem or "")
    if isinstance(checkpoint, PackedCheckpoint):
        damaged = checkpoint.damaged_tensors()
        detail = f"{len(damaged)} have not, {damaged[0]} first; convert it again" if damaged else ""
        yield Check("every tensor has the checksum it was written with", not damaged, detail)
    model = load_model(checkpoint, replace(config, kernels=kernels[0]), progress())
    prompt = _prompt(tokenizer, checkpoint.shape.vocab_size)
    try:
        yield from _published(checkpoint, tokenizer, reference, model)
        logits = model.runner.logits([prompt])
        yield from _itself(model, prompt, logits)
    finally:
        model.runner.close()
    del model  # so that one packed model at a time is in memory
    for name in kernels[1:]:
        yield _same_kernels(checkpoint, replace(config, kernels=name), prompt, logits, progress())


def _published(
    checkpoint: AnyCheckpoint, tokenizer: Tokenizer, reference: Reference | None, model: LoadedModel
) -> Iterator[Check]:
    if reference is None:
        yield Check("published numbers", None, "none are known for this model")
        return
    is_same = is_known(checkpoint.folder, reference)
    yield Check(
        f"weights are {reference.name}, byte for byte",
        is_same or None,
        "" if is_same else "their checksum is not known; sizes and tokenizer, or --as, say it",
    )
    logits = model.runner.logits([reference.ids])
    means = logits.mean(axis=-1, dtype=np.float64)
    yield _near("mean logits", means, reference.means, reference.mean_tolerance)
    first = logits[0, : len(reference.first_logits)]
    yield _near("first logits", first, reference.first_logits, reference.logit_tolerance)
    yield _greedy(tokenizer, reference, model)


def _near(name: str, found: Float32Array, expected: Sequence[float], tolerance: float) -> Check:
    off = np.abs(np.asarray(found, np.float64) - np.asarray(expected))
    worst = int(np.argmax(off))
    detail = f"at most {off[worst]:.2g} off; {tolerance:g} may be"
    has_passed = bool((off <= tolerance).all())  # false also where one is no number
    if not has_passed:
        detail += f" (number {worst} is {found[worst]:.4f}; published is {expected[worst]:.4f})"
    return Check(f"{name} as published ({len(expected)} of them)", has_passed, detail)


def _greedy(tokenizer: Tokenizer, reference: Reference, model: LoadedModel) -> Check:
    """Whether each token of the published answer is the likeliest, or as likely as rounding lets.

    The answer is given and not drawn, so that one near-tie does not change all that follows.
    """
    prompt = tokenizer.encode(reference.prompt)
    answer = tokenizer.encode(reference.answer, add_special_tokens=False)
    rows = model.runner.logits([prompt + answer])[len(prompt) - 1 : -1]
    behind = rows.max(axis=-1) - rows[np.arange(len(answer)), answer]
    num_first = int((behind == 0).sum())
    has_passed = bool((behind <= reference.logit_tolerance).all())
    return Check(
        "the published answer is the likeliest",
        has_passed,
        f"{num_first} of {len(answer)} tokens come first, the others by at most {behind.max():.2g} "
        f"later; {reference.logit_tolerance:g} may be",
    )


def _itself(model: LoadedModel, prompt: list[int], logits: Float32Array) -> Iterator[Check]:
    is_finite = bool(np.isfinite(logits).all())
    yield Check("logits are finite", is_finite, f"up to {np.abs(logits).max():.3g}")
    others = [[token] * 5 for token in prompt[:3]]
    together = model.runner.logits([others[0], prompt, *others[1:]])[5 : 5 + len(prompt)]
    yield _equal("a prompt alone and in a batch", together, logits)
    pieces = model.runner.logits([prompt], piece=_PIECE)
    yield _equal(f"a prompt at once and by {_PIECE} tokens", pieces, logits)
    one = prompt[-1]
    alone = model.runner.logits([[one]])
    repeated = model.runner.logits([[one]] * 5)
    yield _equal("one token alone and five times in a batch", repeated, np.repeat(alone, 5, axis=0))


def _same_kernels(
    checkpoint: AnyCheckpoint,
    config: EngineConfig,
    prompt: list[int],
    logits: Float32Array,
    progress: ProgressListener,
) -> Check:
    name = f"kernels {config.kernels} and the best ones"
    try:
        model = load_model(checkpoint, config, progress)
    except LoadError as error:
        return Check(name, has_passed=False, detail=str(error))
    try:
        return _equal(name, model.runner.logits([prompt]), logits)
    finally:
        model.runner.close()


def _equal(name: str, found: Float32Array, expected: Float32Array) -> Check:
    has_passed = found.tobytes() == expected.tobytes()
    num_differing = int((found != expected).sum())
    detail = "" if has_passed else f"{num_differing} of {found.size} logits differ"
    return Check(f"{name}: equal logits", has_passed, detail)


def _prompt(tokenizer: Tokenizer, vocab_size: int) -> list[int]:
    tokens = [token for token in tokenizer.encode(_TEXT) if token < vocab_size]
    return tokens[:_MAX_TOKENS]
