"""One answer from models whose weights share scales by groups of columns, too.

Ternary head and embedding, norms of heads, a weight on no grid, activations of two terms and of
one: served in random mixes with every kernel set, thread count and chunk, as test_same_answer.py
does it.
"""

import itertools
from pathlib import Path

import pytest

from tests.model.running import load
from tests.model.test_same_answer import KERNELS, THREADS, check_mixes
from tests.oracle.layouts import read_config, read_stored
from tests.oracle.make_tiny import TinyCheckpoint
from tests.oracle.same_weights import SameWeights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = SameWeights("qwen3", scale_group=128, has_ternary_tables=True)
    folder = model.write_folder(tmp_path_factory.mktemp("model"))
    tensors = read_stored(folder / "model.safetensors")
    name = "model.layers.1.self_attn.v_proj.weight"
    dtype, weights = tensors[name]
    weights = weights.copy()
    weights[5, 17] = 0.75
    return TinyCheckpoint(read_config(folder), tensors | {name: (dtype, weights)}).write(folder)


@pytest.mark.parametrize("activations", ["int8", "int16"])
def test_mixes_of_requests_answer_as_each_does_alone(folder: Path, activations: str) -> None:
    models = {
        (kernels, threads): load(
            folder, kernels=kernels, num_threads=threads, head="int8", activations=activations
        )
        for kernels, threads in itertools.product(KERNELS, THREADS)
    }
    plain = models["reference", 1]

    assert plain.shape.has_ternary_head
    assert {model.runner.model.num_outliers for model in models.values()} == {1}
    happened = check_mixes(range(12), models, plain)
    assert happened["answers"] > 20
