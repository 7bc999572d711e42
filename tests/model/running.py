"""Serving sequences with the real model, without threads or streams."""

import os
import time
from collections.abc import Callable
from collections.abc import Sequence as List
from dataclasses import dataclass, field
from pathlib import Path

from tercet_engine.checkpoint import Checkpoint
from tercet_engine.config import EngineConfig, KvType, Speculation
from tercet_engine.core import EngineCore
from tercet_engine.model_loader import LoadedModel, load_model
from tercet_engine.model_runner import ModelRunner
from tercet_engine.progress import Silent
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.sequence import Sequence

NUM_BLOCKS = 64


def load(folder: Path, **settings: object) -> LoadedModel:
    kernels = os.environ.get("TERCET_KERNELS", "")
    settings = {"num_threads": 1, "head": "bf16", "kernels": kernels, **settings}
    return load_model(Checkpoint(folder), EngineConfig(**settings), Silent())


@dataclass(frozen=True)
class Asked:
    """A request: all that its answer may depend on."""

    prompt: tuple[int, ...]
    max_tokens: int
    params: SamplingParams = field(default_factory=SamplingParams)
    choice: int = 0
    end_tokens: frozenset[int] = frozenset()

    def sequence(self, number: int) -> Sequence:
        return Sequence(
            number, list(self.prompt), self.params, self.max_tokens, self.end_tokens, self.choice
        )


def core_for(
    model: LoadedModel,
    *,
    num_blocks: int = NUM_BLOCKS,
    chunk: int = 512,
    max_sequences: int = 8,
    prefix_cache: bool = True,
    speculation: Speculation = "off",
    max_step_ms: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    kv_type: KvType = "bf16",
) -> EngineCore:
    """A core with a KV cache of its own over a model that others may use before and after."""
    config = EngineConfig(
        max_batch_tokens=max(chunk, max_sequences),
        max_sequences=max_sequences,
        prefix_cache=prefix_cache,
        speculation=speculation,
        max_step_ms=max_step_ms,
    )
    return EngineCore(ModelRunner(model.runner.model, num_blocks, kv_type=kv_type), config, clock)


def answer(core: EngineCore, asked: Asked) -> list[int]:
    """Serve one request to its end; return what was generated."""
    return answers(core, [asked])[0]


def answers(core: EngineCore, asked: List[Asked]) -> list[list[int]]:
    """Serve several requests at once."""
    sequences = [one.sequence(number) for number, one in enumerate(asked)]
    core.add(sequences)
    while core.has_work:
        core.step()
    core.check_invariants()
    return [seq.tokens[seq.num_prompt_tokens :] for seq in sequences]
