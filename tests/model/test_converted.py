"""A converted model is the model it was made of: the same answers, the same fingerprint.

Between them the sources have a scale a matrix, a row and a group, weights on no grid, biases, norms
of heads and of single matrices, multipliers, tied and untied, ternary and int8 heads.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tercet_engine import EMBEDDED_MODEL, EngineConfig, KernelUnavailable, _core, load_engine
from tercet_engine.gguf_checkpoint import GgufCheckpoint
from tercet_engine.model_loader import LoadedModel, load_model, memory_needs
from tercet_engine.model_shape import ModelShape
from tercet_engine.opened_model import open_checkpoint, open_model
from tercet_engine.packed.checkpoint import PackedCheckpoint
from tercet_engine.packed.convert import convert_model
from tercet_engine.packed.tensors import plane_bytes, tiles_bytes, whole_tiles
from tercet_engine.progress import Silent
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.synthetic import SHAPES
from tests.model.running import Asked, answer, core_for
from tests.oracle import goldens
from tests.oracle.embedded_gguf import write_embedded
from tests.oracle.layouts import read_stored
from tests.oracle.make_tiny import TinyCheckpoint, save_tensors
from tests.oracle.same_weights import SameWeights

SOURCES = {
    **{name: name for name in (*goldens.BITNETS, *goldens.FAMILIES)},
    **{f"off the grid/{name}": name for name in ("llama_dense", "qwen3_dense", "minicpm_dense")},
}
GGUF = {
    "i2_s": SameWeights("bitnet-b1.58"),
    "tq2_0": SameWeights("llama"),
    "q2_0_g64": SameWeights("qwen3", scale_group=128, has_ternary_tables=True),
}
PROMPTS = ((5, 17, 8, 2, 64, 31), tuple(range(3, 90, 4)))


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of a few letters: any model has as many tokens."""
    vocabulary = {"<unk>": 0} | {letter: index for index, letter in enumerate("abcdefgh", 1)}
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": "<unk>"},
                "pre_tokenizer": {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": True,
                },
                "decoder": {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": True,
                },
            }
        )
    )


def move_weights_off_the_grid(folder: Path) -> None:
    """Triple one weight in every matrix of the layers."""
    path = folder / "model.safetensors"
    tensors = read_stored(path)
    for name, (dtype, values) in tensors.items():
        if ".layers." in name and values.ndim == 2:
            numbers = values.copy()
            row, col = (int(place) for place in np.argwhere(numbers != 0)[7])
            if dtype == "BF16":
                wide = (numbers[row, col].astype(np.uint32) << 16).view(np.float32) * 4
                numbers[row, col] = wide.view(np.uint32) >> 16
            else:
                numbers[row, col] *= 4
            tensors[name] = (dtype, numbers)
    save_tensors(path, tensors)


@pytest.fixture(scope="module")
def source_folders(
    checkpoints: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("sources")

    def get(name: str) -> Path:
        target = folder / name.replace("/", "-").replace(" ", "-")
        if not target.exists():
            family = SOURCES[name]
            stored = family if "/" in family else f"families/{family}"
            shutil.copytree(checkpoints(stored), target)
            write_tokenizer(target)
            if name.startswith("off"):
                move_weights_off_the_grid(target)
        return target

    return get


@pytest.fixture(scope="module")
def converted(
    source_folders: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, Path]]:
    """Gives a source's folder and the converted one."""
    folder = tmp_path_factory.mktemp("converted")

    def get(name: str) -> tuple[Path, Path]:
        source = source_folders(name)
        target = folder / source.name
        if not target.exists():
            convert_model(source, target, name=name, progress=Silent(), num_threads=2)
        return source, target

    return get


def load(path: Path, **settings: object) -> LoadedModel:
    config = EngineConfig(**{"num_threads": 2, **settings})
    return load_model(open_checkpoint(path), config, Silent())


def answers_of(model: LoadedModel) -> list[list[int]]:
    """Greedy and drawn, with every kind of read of the head."""
    params = (
        SamplingParams(temperature=0),
        SamplingParams(temperature=1.0, seed=3),
        SamplingParams(temperature=1.0, seed=4, top_p=0.9),
    )
    core = core_for(model)
    try:
        return [answer(core, Asked(prompt, 8, one)) for prompt in PROMPTS for one in params]
    finally:
        model.runner.close()


def assert_alike(source: Path, target: Path, **settings: object) -> None:
    theirs, ours = load(source, **settings), load(target, **settings)
    assert ours.fingerprint == theirs.fingerprint
    assert ours.shape == theirs.shape
    assert ours.runner.model.num_outliers == theirs.runner.model.num_outliers
    assert answers_of(ours) == answers_of(theirs)


@pytest.mark.parametrize("name", SOURCES)
def test_a_converted_model_answers_as_its_source(
    converted: Callable[[str], tuple[Path, Path]], name: str
) -> None:
    source, target = converted(name)

    assert_alike(source, target)
    assert_alike(source, target, head="bf16", kv_type="f32")


@pytest.mark.parametrize("kernels", _core.supported_kernels())
@pytest.mark.parametrize(
    "name", ["tiny/bitnet_offline", "off the grid/qwen3_dense", "families/llama_bitlinear_rms"]
)
def test_it_does_with_every_kernel_set_and_packing(
    converted: Callable[[str], tuple[Path, Path]], name: str, kernels: str
) -> None:
    source, target = converted(name)
    shape = PackedCheckpoint(target).shape
    is_grouped = bool(shape.weight_group or shape.activation_group)

    for packing in ("auto", *_core.packings(kernels, grouped=is_grouped)):
        assert_alike(source, target, kernels=kernels, packing=packing)
    ours = _core.tiles_packing(kernels, grouped=is_grouped)
    if ours is None:
        with pytest.raises(KernelUnavailable, match=f"packing mapped: kernels {kernels}"):
            load(target, kernels=kernels, packing="mapped")
        return
    theirs, mapped = (
        load(path, kernels=kernels, packing=packing)
        for path, packing in ((source, ours), (target, "mapped"))
    )
    assert mapped.fingerprint == theirs.fingerprint
    assert mapped.runner.model.packing == ours
    assert answers_of(mapped) == answers_of(theirs)


def test_only_a_converted_model_is_used_where_it_is_mapped(
    source_folders: Callable[[str], Path],
) -> None:
    with pytest.raises(KernelUnavailable, match="packing mapped is of converted models"):
        load(source_folders("tiny/bitnet_offline"), packing="mapped")


@pytest.mark.parametrize("layout", GGUF)
def test_a_gguf_files_weights_are_converted(tmp_path: Path, layout: str) -> None:
    from tercet_engine.packed.convert import new_folder, write_config
    from tercet_engine.packed.weights import weight_file_bytes, write_weights

    path = GGUF[layout].write_gguf(tmp_path / "model.gguf", layout)
    source = GgufCheckpoint(path)
    assert not source.needs_grid
    with new_folder(tmp_path / "out", weight_file_bytes(source)) as folder:
        written = write_weights(source, folder, 2, Silent())
        write_config(folder, source, written, name="a file")

    assert_alike(path, tmp_path / "out")


def test_weights_off_the_grid_are_kept_beside_the_tiles(
    converted: Callable[[str], tuple[Path, Path]],
) -> None:
    _, target = converted("off the grid/llama_dense")
    checkpoint = PackedCheckpoint(target)

    matrix = checkpoint.matrix(0, "qkv")
    assert len(matrix.outlier_values) == 3
    rows = matrix.outlier_places[:, 0]
    q, k, _ = (checkpoint.shape.linear_shapes[name][0] for name in ("q", "k", "v"))
    assert rows[0] < q <= rows[1] < whole_tiles(q) + k <= rows[2]


def test_tensors_begin_at_multiples_of_64_bytes(
    converted: Callable[[str], tuple[Path, Path]],
) -> None:
    _, target = converted("families/llama_bitlinear_rms")
    content = (target / "model.safetensors").read_bytes()
    header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_bytes])

    large = [name for name in header if name.endswith((".tiles", ".high"))]
    assert len(large) == 2 * 4 + 1
    assert (8 + header_bytes) % 4096 == 0
    assert {(8 + header_bytes + header[name]["data_offsets"][0]) % 64 for name in large} == {0}


def test_the_file_is_one_that_the_formats_own_library_reads(
    converted: Callable[[str], tuple[Path, Path]],
) -> None:
    from safetensors.numpy import load_file

    _, target = converted("tiny/bitnet_offline")
    checkpoint = PackedCheckpoint(target)
    tensors = load_file(target / "model.safetensors")

    assert set(tensors) == set(checkpoint.file.tensors)
    np.testing.assert_array_equal(tensors["layers.0.qkv.tiles"], checkpoint.matrix(0, "qkv").tiles)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_sizes_are_those_that_the_kernels_count(shape: ModelShape) -> None:
    from tercet_engine.core_words import core_config

    kernels = _core.supported_kernels()[0]
    is_grouped = bool(shape.weight_group or shape.activation_group)
    packing = _core.tiles_packing(kernels, grouped=is_grouped)
    if packing is None:
        pytest.skip("the reference keeps tiles otherwise")
    counted = _core.ModelBuilder.weight_bytes(
        core_config(shape),
        kernels=kernels,
        head="ternary" if shape.has_ternary_head else "int8",
        packing=packing,
    )
    scale_rows = shape.num_layers * sum(
        whole_tiles(rows) for rows, _ in shape.linear_shapes.values()
    )
    tiles = shape.num_layers * sum(
        tiles_bytes(shape, rows, cols) for rows, cols in shape.linear_shapes.values()
    )
    vocab = shape.vocab_size
    head = 2 * plane_bytes(shape) + 4 * (whole_tiles(vocab) + 2 * vocab)
    if shape.has_ternary_head:
        head = tiles_bytes(shape, vocab, shape.hidden_size) + 4 * whole_tiles(vocab)

    assert tiles + 4 * scale_rows + head == counted


def test_a_converted_models_memory_is_counted(
    converted: Callable[[str], tuple[Path, Path]],
) -> None:
    _, target = converted("tiny/bitnet_offline")
    loaded = load(target)
    needs = memory_needs(PackedCheckpoint(target), EngineConfig(num_threads=2))

    assert loaded.runner.model.weight_bytes == loaded.plan.weight_bytes == needs.weight_bytes
    loaded.runner.close()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The embedded model in three forms: as it is, converted, and converted from a GGUF file."""
    folder = tmp_path_factory.mktemp("embedded")
    gguf = write_embedded(folder / "tiny.gguf")
    for path, name in ((EMBEDDED_MODEL, "packed"), (gguf, "packed-gguf")):
        convert_model(path, folder / name, name=path.name, progress=Silent(), num_threads=2)
    return {
        "source": EMBEDDED_MODEL,
        "packed": folder / "packed",
        "gguf": gguf,
        "packed-gguf": folder / "packed-gguf",
    }


@pytest.mark.parametrize(("source", "target"), [("source", "packed"), ("gguf", "packed-gguf")])
def test_texts_templates_and_defaults_are_those_of_the_source(
    embedded: dict[str, Path], source: str, target: str
) -> None:
    theirs, ours = open_model(embedded[source]), open_model(embedded[target])
    messages = [{"role": "user", "content": "Hello <|eot_id|> there"}]

    assert ours.tokenizer.digest() == theirs.tokenizer.digest()
    assert ours.stop_token_ids == theirs.stop_token_ids
    assert ours.generation_defaults == theirs.generation_defaults
    assert ours.overrides == theirs.overrides
    assert ours.chat_template is not None
    assert theirs.chat_template is not None
    assert ours.chat_template.prompt(messages) == theirs.chat_template.prompt(messages)
    config = EngineConfig(num_threads=1)
    engines = [load_engine(embedded[name], config) for name in (source, target)]
    for engine in engines:
        engine.close()
    first, second = (engine.info for engine in engines)
    assert first.fingerprint == second.fingerprint
    named = {"model_id", "created"}
    assert {k: v for k, v in asdict(first).items() if k not in named} == {
        k: v for k, v in asdict(second).items() if k not in named
    }


def test_a_folder_without_tokenizer_config_is_converted_too(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    shutil.copytree(goldens.DATA / "tiny" / "bitnet_offline", folder)
    write_tokenizer(folder)
    convert_model(folder, tmp_path / "out", name="x", progress=Silent(), num_threads=1)

    theirs, ours = open_model(folder), open_model(tmp_path / "out")
    assert ours.chat_template is not None
    assert theirs.chat_template is not None
    assert ours.chat_template.source == theirs.chat_template.source
    assert ours.stop_token_ids == theirs.stop_token_ids


def test_an_error_of_a_tensor_names_it(tmp_path: Path) -> None:
    from tercet_engine.errors import CheckpointError
    from tests.oracle.make_tiny import random_checkpoint

    damaged: TinyCheckpoint = random_checkpoint()
    tensor = "model.layers.0.self_attn.k_proj.weight"
    damaged.tensors[tensor][1][3, 5] |= 0b1100
    folder = damaged.write(tmp_path / "source")
    write_tokenizer(folder)

    with pytest.raises(CheckpointError, match=rf"{tensor}: row \d+, column 5 holds code 3"):
        convert_model(folder, tmp_path / "out", name="x", progress=Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
