"""What models answer, as digests of bytes: the same on every CPU, with every set of kernels.

    python -m tests.emulated.answers [--kernels NAME]    # the digests, as JSON
    python -m tests.emulated.answers --write             # keeps them as `golden.json`

Each digest is of one kind of answer, so that a difference names its place. They depend on the
models and on the arithmetic (`NUMERICS_VERSION`) alone; a change of either writes the file anew.
"""

import argparse
import hashlib
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from collections.abc import Sequence as List
from pathlib import Path

import numpy as np

from tercet_engine import EngineConfig
from tercet_engine.completion import Pooling
from tercet_engine.core import EngineCore, TokenOutput
from tercet_engine.hub import find_model
from tercet_engine.model_loader import LoadedModel, load_model
from tercet_engine.model_runner import ModelRunner
from tercet_engine.opened_model import open_checkpoint, open_model
from tercet_engine.packed.convert import convert_model
from tercet_engine.progress import Silent
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.sequence import Sequence
from tests.oracle import goldens

Prompts = List[List[int]]

GOLDEN = Path(__file__).parent / "golden.json"

# One is longer than two blocks of the KV cache; each is answered in a way of its own.
ASKED = {
    "The quick brown fox jumps over the lazy dog, and the dog does not mind: it has seen foxes "
    "before.": SamplingParams(temperature=0, logprobs=5, prompt_logprobs=2),
    "Tell me a story about a dog.": SamplingParams(temperature=1, seed=7, logprobs=0),
    "Once upon a time": SamplingParams(
        temperature=0.8, seed=2**64 - 3, top_p=0.9, top_k=50, repetition_penalty=1.2
    ),
    "3 + 4 =": SamplingParams(
        temperature=1.5, seed=11, min_p=0.05, presence_penalty=0.5, logit_bias={9: 3}
    ),
}
NUM_TOKENS = 6
NUM_BLOCKS = 64
IDS = tuple(number * 37 % 250 for number in range(40))


def main() -> int:
    """Print the digests, or keep them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", default="", help="default: the best of this CPU")
    parser.add_argument("--write", action="store_true", help="write golden.json")
    options = parser.parse_args()
    text = json.dumps(digests(options.kernels), indent=2) + "\n"
    if options.write:
        GOLDEN.write_text(text)
    else:
        sys.stdout.write(text)
    return 0


def golden() -> dict[str, str]:
    """The digests that were kept."""
    return dict(json.loads(GOLDEN.read_text()))


def digests(kernels: str = "") -> dict[str, str]:
    """The digest of each kind of answer, computed with one set of kernels; "": the best."""
    return {name: hashlib.sha256(data).hexdigest()[:32] for name, data in answers(kernels)}


def answers(kernels: str) -> Iterator[tuple[str, bytes]]:
    """The bytes of each kind of answer."""
    embedded = find_model(None).path
    tokenizer = open_model(embedded).tokenizer
    prompts = [tokenizer.encode(text) for text in ASKED]
    for head in ("int8", "bf16"):
        model = load(embedded, kernels=kernels, head=head)
        yield f"{head} head, fingerprint", model.fingerprint.encode()
        for kv_type in ("bf16", "f32", "int8"):
            runner = ModelRunner(model.runner.model, NUM_BLOCKS, kv_type=kv_type)
            for kind, answer in KINDS.items():
                yield f"{head} head, {kv_type} keys and values, {kind}", answer(runner, prompts)
        model.runner.close()
    with tempfile.TemporaryDirectory() as scratch:
        yield from of_converted(embedded, Path(scratch) / "converted", kernels, prompts)
        for name in goldens.FAMILIES:
            model = load(goldens.unpack(name, Path(scratch)), kernels=kernels)
            yield f"{name}, logits", logits(model.runner, [IDS])
            model.runner.close()


def load(path: Path, **settings: object) -> LoadedModel:
    config = {"max_context": 256, "max_sequences": 8, "num_threads": 1, "touch_kv_cache": False}
    return load_model(open_checkpoint(path), EngineConfig(**config, **settings), Silent())


def run(runner: ModelRunner, sequences: List[Sequence]) -> list[TokenOutput]:
    """Serve sequences together, to their ends."""
    core = EngineCore(runner, EngineConfig(max_sequences=8, speculation="off", max_step_ms=0))
    core.add(sequences)
    outputs = []
    while core.has_work:
        outputs += core.step()
    return outputs


def completions(runner: ModelRunner, prompts: Prompts) -> bytes:
    """Tokens, greedy and drawn, with the bits of their log-probabilities and their prompts'."""
    asked = zip(prompts, ASKED.values(), strict=True)
    sequences = [
        Sequence(number, list(prompt), params, NUM_TOKENS)
        for number, (prompt, params) in enumerate(asked)
    ]
    outputs = run(runner, sequences)
    scores = [
        score
        for output in sorted(outputs, key=lambda output: output.sequence_id)
        for score in (*output.prompt_logprobs, output.logprobs)
        if score is not None
    ]
    likeliest = [pair for score in scores for pair in ((score.token, score.logprob), *score.top)]
    return (
        np.array([token for seq in sequences for token in seq.tokens], np.int32).tobytes()
        + np.array([token for token, _ in likeliest], np.int32).tobytes()
        + np.array([logprob for _, logprob in likeliest], np.float32).tobytes()
    )


def logits(runner: ModelRunner, prompts: Prompts) -> bytes:
    return runner.logits(prompts).tobytes()


def embeddings(runner: ModelRunner, prompts: Prompts) -> bytes:
    """The means of the hidden states, and the last of them."""
    asked = itertools.product(prompts[:2], Pooling)
    sequences = [
        Sequence(number, list(prompt), SamplingParams(), 0, pooling=pooling)
        for number, (prompt, pooling) in enumerate(asked)
    ]
    outputs = sorted(run(runner, sequences), key=lambda output: output.sequence_id)
    return b"".join(
        output.embedding.tobytes() for output in outputs if output.embedding is not None
    )


KINDS = {"completions": completions, "logits": logits, "embeddings": embeddings}


def of_converted(
    source: Path, folder: Path, kernels: str, prompts: Prompts
) -> Iterator[tuple[str, bytes]]:
    """A converted model: what is written, and what it answers."""
    convert_model(source, folder, name="tercet-tiny", progress=Silent(), num_threads=1)
    weights = sorted(folder.glob("*.safetensors"))
    yield "converted, weights", b"".join(file.read_bytes() for file in weights)
    model = load(folder, kernels=kernels)
    yield "converted, fingerprint", model.fingerprint.encode()
    yield "converted, logits", logits(model.runner, prompts)
    model.runner.close()


if __name__ == "__main__":
    sys.exit(main())
