import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet_engine import CheckpointError
from tercet_engine.checkpoint import EMBEDDING, Checkpoint, is_ternary, ternarize, widen
from tercet_engine.families.family import WeightForm
from tests.oracle.layouts import float16, float32, make
from tests.oracle.make_tiny import TinyCheckpoint, bfloat16, pack, random_checkpoint

Q = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def packed() -> TinyCheckpoint:
    return random_checkpoint("packed")


def read_everything(folder: Path) -> None:
    checkpoint = Checkpoint(folder)
    checkpoint.table(EMBEDDING)
    checkpoint.norm(-1, "final")
    for layer in range(checkpoint.shape.num_layers):
        for name in checkpoint.shape.norm_sizes:
            checkpoint.norm(layer, name)
        for name in checkpoint.shape.linear_shapes:
            checkpoint.linear(layer, name)


def refusal(damaged: TinyCheckpoint, folder: Path, error: type[Exception] = CheckpointError) -> str:
    damaged.write(folder)
    with pytest.raises(error) as caught:
        read_everything(folder)
    return str(caught.value)


def test_a_packed_linear_is_handed_on_as_it_lies_in_the_file(
    packed: TinyCheckpoint, tmp_path: Path
) -> None:
    linear = Checkpoint(packed.write(tmp_path)).linear(0, "q")

    np.testing.assert_array_equal(linear.data, packed.tensors[Q][1].reshape(-1))
    assert (linear.layout, linear.rows, linear.cols) == ("hf_packed", 64, 64)
    assert linear.scale == widen(packed.tensors[f"{Q}_scale"][1])[0]


def test_a_scale_to_be_divided_by_is_handed_on_as_its_inverse(
    packed: TinyCheckpoint, tmp_path: Path
) -> None:
    packed.config["quantization_config"]["linear_class"] = "bitlinear"
    linear = Checkpoint(packed.write(tmp_path)).linear(0, "q")

    assert linear.scale == np.float32(1) / widen(packed.tensors[f"{Q}_scale"][1])[0]


@pytest.mark.parametrize(("store", "layout"), [(bfloat16, "bf16"), (float16, "f16")])
def test_plain_numbers_are_handed_on_as_they_lie_in_the_file(
    tmp_path: Path, store: Callable[..., Any], layout: str
) -> None:
    dense = make("llama_dense")
    dense.tensors[Q] = stored = store(np.ones((128, 128)))
    source = Checkpoint(dense.write(tmp_path)).linear(0, "q")

    np.testing.assert_array_equal(source.data, stored[1].reshape(-1).view(np.uint8))
    assert (source.layout, source.scale, source.rows, source.cols) == (layout, 1.0, 128, 128)


@pytest.mark.parametrize("layout", ["bf16", "f16", "f32"])
def test_embeddings_may_be_of_any_floating_type(
    packed: TinyCheckpoint, tmp_path: Path, layout: str
) -> None:
    types = {"bf16": bfloat16, "f16": float16, "f32": float32}
    packed.tensors[EMBEDDING] = types[layout](np.ones((320, 64)))

    assert Checkpoint(packed.write(tmp_path)).table(EMBEDDING).layout == layout


def test_biases_are_read_where_the_config_says_that_there_are_some(tmp_path: Path) -> None:
    model = make("llama_bitlinear_rms")
    checkpoint = Checkpoint(model.write(tmp_path))
    name = checkpoint.bias_name(1, "down")

    assert name == "model.layers.1.mlp.down_proj.bias"
    assert checkpoint.shape.biases == ("q", "k", "v", "o", "gate", "up", "down")
    np.testing.assert_array_equal(checkpoint.bias(1, "down"), widen(model.tensors[name][1]))


def test_every_matrix_may_have_a_norm_of_its_own(tmp_path: Path) -> None:
    checkpoint = Checkpoint(make("llama_bitlinear_rms").write(tmp_path))

    assert checkpoint.shape.linear_norm_eps == 1e-6
    assert checkpoint.norm_name(0, "input_up") == "model.layers.0.mlp.up_proj.rms_norm.weight"
    assert checkpoint.norm(0, "input_down").shape == (192,)


def test_a_shape_that_tells_more_leaves_the_first_checkpoint_as_it_was(tmp_path: Path) -> None:
    first = Checkpoint(make("qwen3_dense").write(tmp_path))
    second = first.with_shape(dataclasses.replace(first.shape, weight_group=128))

    assert (first.shape.weight_group, second.shape.weight_group) == (0, 128)
    np.testing.assert_array_equal(second.linear(0, "k").data, first.linear(0, "k").data)


def test_plain_numbers_that_are_not_ternary_are_masters_where_the_config_admits_it(
    tmp_path: Path,
) -> None:
    masters = make("llama_masters")
    checkpoint = Checkpoint(masters.write(tmp_path))

    assert (checkpoint.form, checkpoint.shape.activation_group) == (WeightForm.MASTERS, 0)
    del masters.config["is_bitnet_config"]
    checkpoint = Checkpoint(masters.write(tmp_path))
    assert (checkpoint.form, checkpoint.shape.activation_group) == (WeightForm.DENSE, 128)


def test_ternary_numbers_stay_plain_numbers_whatever_the_config_admits(tmp_path: Path) -> None:
    dense = make("llama_dense")
    dense.config["is_bitnet_config"] = True

    assert Checkpoint(dense.write(tmp_path)).form is WeightForm.DENSE


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda values: values, True),
        (lambda values: values * (1 + 2**-9 * np.sign(np.arange(64) - 31.5)), True),
        (np.zeros_like, True),
        (lambda values: values + np.linspace(0, 1, 64), False),
    ],
    ids=["exactly", "but_for_rounding", "zeros", "masters"],
)
def test_numbers_are_seen_to_be_ternary_or_not(
    change: Callable[[Any], Any], expected: bool
) -> None:
    ternary = np.random.default_rng(0).integers(-1, 2, (16, 64)) * 0.25
    assert is_ternary(change(ternary).astype(np.float32)) is expected


def test_masters_are_rounded_to_ternary_by_their_mean_magnitude() -> None:
    masters = np.array([[0.4, -1.2], [0.0, 0.6], [-0.3, 2.4], [1.0, -0.1]], np.float32)
    linear = ternarize(masters)  # the mean magnitude is 0.75

    np.testing.assert_array_equal(linear.codes, pack(np.array([[1, -1], [0, 1], [0, 1], [1, 0]])))
    assert linear.scale == pytest.approx(0.75)


def test_dead_masters_become_zeros_and_the_scale_has_a_floor() -> None:
    linear = ternarize(np.full((4, 2), 1e-34, np.float32))

    np.testing.assert_array_equal(linear.codes, pack(np.zeros((4, 2))))
    assert linear.scale == pytest.approx(1e-5)


def test_both_forms_of_a_model_have_the_same_codes(tmp_path: Path) -> None:
    packed = Checkpoint(random_checkpoint("packed").write(tmp_path / "packed"))
    masters = Checkpoint(random_checkpoint("masters").write(tmp_path / "masters"))

    for name in packed.shape.linear_shapes:
        ours, theirs = packed.linear(1, name), masters.linear(1, name)
        np.testing.assert_array_equal(ours.data, theirs.data)
        assert ours.scale == pytest.approx(theirs.scale, rel=2**-8)


def test_shards_are_read_like_one_file(packed: TinyCheckpoint, tmp_path: Path) -> None:
    whole = Checkpoint(packed.write(tmp_path / "whole"))
    shards = Checkpoint(packed.write_shards(tmp_path / "shards", 3))

    assert shards.num_bytes == whole.num_bytes
    np.testing.assert_array_equal(shards.linear(1, "down").data, whole.linear(1, "down").data)


def test_an_untied_head_is_read_beside_the_embedding(
    packed: TinyCheckpoint, tmp_path: Path
) -> None:
    packed.config["tie_word_embeddings"] = False
    packed.tensors["lm_head.weight"] = bfloat16(np.ones((320, 64)))

    assert Checkpoint(packed.write(tmp_path)).head_name == "lm_head.weight"


def test_where_no_config_says_so_the_tensors_tell_whether_the_head_is_tied(tmp_path: Path) -> None:
    model = make("llama_bitlinear")
    del model.config["tie_word_embeddings"]

    assert Checkpoint(model.write(tmp_path)).head_name == "lm_head.weight"
    del model.tensors["lm_head.weight"]
    assert Checkpoint(model.write(tmp_path)).head_name == EMBEDDING


def test_a_head_beside_a_tied_one_is_passed_over(tmp_path: Path) -> None:
    model = make("llama_bitlinear")
    model.config["tie_word_embeddings"] = True

    assert Checkpoint(model.write(tmp_path)).head_name == EMBEDDING


def test_both_spellings_of_the_rope_base_are_read(packed: TinyCheckpoint, tmp_path: Path) -> None:
    del packed.config["rope_theta"]
    packed.config["rope_parameters"] = {"rope_theta": 12345.0, "rope_type": "default"}

    assert Checkpoint(packed.write(tmp_path)).shape.rope.theta == 12345


def test_what_a_config_leaves_out_has_the_familys_defaults(
    packed: TinyCheckpoint, tmp_path: Path
) -> None:
    for key in ("rope_theta", "rms_norm_eps", "max_position_embeddings"):
        del packed.config[key]
    shape = Checkpoint(packed.write(tmp_path)).shape

    assert (shape.rope.theta, shape.rms_norm_eps, shape.max_context) == (500_000, 1e-5, 2048)
    assert shape.head_dim == 16


def test_a_missing_tensor_is_named(packed: TinyCheckpoint, tmp_path: Path) -> None:
    del packed.tensors[f"{Q}_scale"]

    assert f"the tensor {Q}_scale is missing" in refusal(packed, tmp_path)


def test_a_tensor_of_an_unknown_name_is_named(packed: TinyCheckpoint, tmp_path: Path) -> None:
    bias = Q.replace("weight", "bias")
    packed.tensors[bias] = bfloat16(np.zeros(64))

    assert f"the tensor {bias} is not known" in refusal(packed, tmp_path)


def test_a_tensor_of_a_wrong_shape_is_named_with_both_shapes(
    packed: TinyCheckpoint, tmp_path: Path
) -> None:
    packed.tensors[Q] = ("U8", np.zeros((16, 63), np.uint8))

    assert f"{Q} should be U8 [16, 64]; found U8 [16, 63]" in refusal(packed, tmp_path)


def test_a_tensor_of_a_wrong_type_is_named_with_both_types(
    packed: TinyCheckpoint, tmp_path: Path
) -> None:
    packed.tensors[EMBEDDING] = ("U8", np.zeros((320, 64), np.uint8))
    expected = f"{EMBEDDING} should be BF16 or F16 or F32 [320, 64]; found U8"

    assert expected in refusal(packed, tmp_path)


def test_unpacked_weights_in_a_packed_checkpoint_are_refused(
    packed: TinyCheckpoint, tmp_path: Path
) -> None:
    packed.tensors[Q] = bfloat16(np.zeros((64, 64)))

    assert "found BF16 [64, 64]" in refusal(packed, tmp_path)


@pytest.mark.parametrize("scale", [np.nan, np.inf])
def test_a_scale_that_is_no_number_is_refused(
    packed: TinyCheckpoint, tmp_path: Path, scale: float
) -> None:
    packed.tensors[f"{Q}_scale"] = bfloat16(np.array([scale]))

    assert f"{Q}_scale holds values that are not finite" in refusal(packed, tmp_path)


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_scale_that_is_not_positive_is_refused(
    packed: TinyCheckpoint, tmp_path: Path, scale: float
) -> None:
    packed.tensors[f"{Q}_scale"] = bfloat16(np.array([scale]))

    assert f"{Q}_scale should be over 0; found {scale}" in refusal(packed, tmp_path)


def test_a_norm_that_is_not_finite_is_refused(packed: TinyCheckpoint, tmp_path: Path) -> None:
    packed.tensors["model.norm.weight"] = bfloat16(np.full(64, np.nan))

    assert "model.norm.weight holds values that are not finite" in refusal(packed, tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("store", [bfloat16, float16, float32])
def test_an_embedding_that_is_not_finite_is_refused(
    packed: TinyCheckpoint, tmp_path: Path, value: float, store: Callable[..., Any]
) -> None:
    table = np.ones((320, 64))
    table[319, 63] = value
    packed.tensors[EMBEDDING] = store(table)

    assert f"{EMBEDDING} holds values that are not finite" in refusal(packed, tmp_path)


def test_masters_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    masters = random_checkpoint("masters")
    masters.tensors[Q] = bfloat16(np.full((64, 64), np.inf))

    assert "not finite" in refusal(masters, tmp_path)


def test_a_truncated_file_is_refused(packed: TinyCheckpoint, tmp_path: Path) -> None:
    path = packed.write(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(CheckpointError, match="is truncated"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("hidden_size", None, "hidden_size is missing"),
        ("hidden_size", "64", 'hidden_size must be an integer from 4 to 131072; found "64"'),
        ("hidden_size", True, "hidden_size must be an integer"),
        ("num_attention_heads", 3, "num_key_value_heads must be a divisor"),
        ("num_key_value_heads", 8, "num_key_value_heads must be an integer from 1 to 4; found 8"),
        ("vocab_size", 0, "vocab_size must be an integer from 1"),
        ("rms_norm_eps", float("nan"), "rms_norm_eps must be a number"),
        ("tie_word_embeddings", "yes", "tie_word_embeddings must be true or false"),
        ("intermediate_size", 190, "multiple of 4"),
        ("rope_parameters", 5, "rope_parameters must be an object; found 5"),
    ],
)
def test_a_config_with_a_wrong_value_is_refused_with_what_was_expected(
    packed: TinyCheckpoint, tmp_path: Path, key: str, value: Any, message: str
) -> None:
    packed.config[key] = value
    packed.write(tmp_path)

    with pytest.raises(CheckpointError, match=message):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not valid JSON"), ("[]", "must hold a JSON object"), ("\xff", "not valid JSON")],
)
def test_a_damaged_config_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "config.json").write_bytes(content.encode("latin-1"))

    with pytest.raises(CheckpointError, match=message):
        Checkpoint(tmp_path)


def test_a_folder_without_weights_is_refused(packed: TinyCheckpoint, tmp_path: Path) -> None:
    (packed.write(tmp_path) / "model.safetensors").unlink()

    with pytest.raises(CheckpointError, match=r"has neither model.safetensors nor"):
        Checkpoint(tmp_path)


def damage_index(folder: Path, **changes: str) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"] |= changes
    path.write_text(json.dumps(index))


def test_an_index_that_leads_out_of_its_folder_is_refused(
    packed: TinyCheckpoint, tmp_path: Path
) -> None:
    damage_index(packed.write_shards(tmp_path, 2), x="../secret.safetensors")

    with pytest.raises(CheckpointError, match="files of its own folder"):
        Checkpoint(tmp_path)


def test_an_index_that_places_a_tensor_wrongly_is_refused(
    packed: TinyCheckpoint, tmp_path: Path
) -> None:
    damage_index(packed.write_shards(tmp_path, 2), x="model-00001-of-00002.safetensors")

    with pytest.raises(CheckpointError, match=r"places x in .*00001.*does not hold it"):
        Checkpoint(tmp_path)


def test_a_missing_shard_is_named(packed: TinyCheckpoint, tmp_path: Path) -> None:
    (packed.write_shards(tmp_path, 2) / "model-00002-of-00002.safetensors").unlink()

    with pytest.raises(CheckpointError, match=r"00002-of-00002.safetensors cannot be read"):
        Checkpoint(tmp_path)
