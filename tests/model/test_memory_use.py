"""What calls into the extension take is given back, however often they are made."""

import gc
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import psutil

from tercet_engine import _core
from tercet_engine.sampling_params import SamplingParams
from tests.model.running import Asked, answers, core_for, load
from tests.oracle.goldens import DATA

FOLDER = DATA / "tiny256" / "bitnet_offline"
MIB = 1 << 20


def growth_of(work: Callable[[], object], times: int) -> int:
    """Blocks of Python's objects that are left behind, once the first calls are done."""
    for _ in range(20):
        work()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(times):
        work()
    gc.collect()
    return sys.getallocatedblocks() - before


def test_answers_leave_nothing_behind() -> None:
    model = load(FOLDER)
    core = core_for(model, prefix_cache=False)
    plain = Asked(tuple(range(3, 40)), 4, SamplingParams(temperature=0.7, top_p=0.9))
    scored = replace(plain, params=SamplingParams(logprobs=5, prompt_logprobs=2))

    def work() -> None:
        answers(core, [plain, scored])
        model.runner.logits([plain.prompt])
        model.runner.model.hidden(np.array([0], np.int32))

    assert growth_of(work, 300) < 600  # a round has several steps and more calls
    core.close()


def test_models_and_caches_give_their_memory_back() -> None:
    process = psutil.Process()

    def build() -> None:
        model = load(FOLDER, num_threads=2)
        _core.KVCache(model.runner.model, 400, touch=True)
        model.runner.close()

    for _ in range(3):
        build()
    gc.collect()
    before, num_threads = process.memory_info().rss, process.num_threads()
    for _ in range(30):
        build()
    gc.collect()
    assert process.memory_info().rss - before < 24 * MIB
    assert process.num_threads() <= num_threads
