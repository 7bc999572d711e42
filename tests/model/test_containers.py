"""The same weights give the same tokens, whichever container they come in."""

from pathlib import Path

import pytest

from tercet_engine.config import EngineConfig
from tercet_engine.model_loader import LoadedModel, load_model
from tercet_engine.opened_model import open_checkpoint
from tercet_engine.progress import Silent
from tercet_engine.sampling_params import SamplingParams
from tests.model.running import Asked, answer, core_for
from tests.oracle.same_weights import SameWeights

ASKED = Asked((1, 5, 9, 33, 100, 7), 48, SamplingParams(temperature=0.9, seed=11))


def load(path: Path) -> LoadedModel:
    return load_model(open_checkpoint(path), EngineConfig(num_threads=1), Silent())


def tokens(model: LoadedModel) -> list[int]:
    return answer(core_for(model), ASKED)


MODELS = {
    "bitnet": (
        SameWeights("bitnet-b1.58", is_packed=True),
        ("i2_s", "tq1_0", "tq2_0", "f16", "bf16", "f32"),
    ),
    "llama with int8 activations": (SameWeights("llama", is_packed=True), ("i2_s",)),
    "llama": (SameWeights("llama"), ("tq1_0", "tq2_0", "q2_0_g64", "q2_0_g128", "f16", "bf16")),
    "llama in groups of 256": (SameWeights("llama", scale_group=256), ("tq1_0", "tq2_0", "f32")),
    "minicpm in groups of 256": (SameWeights("minicpm", scale_group=256), ("tq2_0", "f16")),
    "qwen3 in groups of 128": (
        SameWeights("qwen3", scale_group=128, has_ternary_tables=True),
        ("q2_0_g64", "q2_0_g128", "pq2_0", "ptq1_0", "f16"),
    ),
    "qwen3 in groups of 64": (
        SameWeights("qwen3", scale_group=64, has_ternary_tables=True),
        ("q2_0_g64", "f16", "f32"),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_and_gguf_files_of_every_type_answer_alike(name: str, tmp_path: Path) -> None:
    model, layouts = MODELS[name]
    folder = load(model.write_folder(tmp_path / "folder"))
    wanted = tokens(folder)

    assert len(set(wanted)) > 5  # an answer that could be another
    for layout in layouts:
        loaded = load(model.write_gguf(tmp_path / f"{layout}.gguf", layout))
        assert tokens(loaded) == wanted, layout
        assert loaded.shape.weight_group == folder.shape.weight_group


@pytest.mark.parametrize(("group", "found"), [(0, 0), (256, 256), (128, 128), (64, 64)])
def test_the_grid_is_found_from_the_numbers_alone(tmp_path: Path, group: int, found: int) -> None:
    folder = SameWeights("qwen3", scale_group=group).write_folder(tmp_path)

    assert load(folder).shape.weight_group == found


@pytest.mark.parametrize("layout", ["q8_0", "q6_k", "q4_0"])
def test_embeddings_and_heads_of_quantised_numbers_mean_those_numbers(
    tmp_path: Path, layout: str
) -> None:
    model = SameWeights("llama").with_numbers(layout)

    folder = load(model.write_folder(tmp_path / "folder"))
    file = load(model.write_gguf(tmp_path / "model.gguf", "tq2_0"))

    assert tokens(file) == tokens(folder)
