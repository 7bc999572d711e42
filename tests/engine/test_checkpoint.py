import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet_engine import CheckpointError, UnsupportedModel
from tercet_engine.checkpoint import EMBEDDING, Checkpoint, ternarize, widen
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

    np.testing.assert_array_equal(linear.codes, packed.tensors[Q][1])
    assert linear.scale == widen(packed.tensors[f"{Q}_scale"][1])[0]


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
        np.testing.assert_array_equal(ours.codes, theirs.codes)
        assert ours.scale == pytest.approx(theirs.scale, rel=2**-8)


def test_shards_are_read_like_one_file(packed: TinyCheckpoint, tmp_path: Path) -> None:
    whole = Checkpoint(packed.write(tmp_path / "whole"))
    shards = Checkpoint(packed.write_shards(tmp_path / "shards", 3))

    assert shards.num_bytes == whole.num_bytes
    np.testing.assert_array_equal(shards.linear(1, "down").codes, whole.linear(1, "down").codes)


def test_an_untied_head_is_read_beside_the_embedding(
    packed: TinyCheckpoint, tmp_path: Path
) -> None:
    packed.config["tie_word_embeddings"] = False
    packed.tensors["lm_head.weight"] = bfloat16(np.ones((320, 64)))

    assert Checkpoint(packed.write(tmp_path)).head_name == "lm_head.weight"


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
    packed.tensors[EMBEDDING] = ("F32", np.zeros((320, 64), np.float32))

    assert f"{EMBEDDING} should be BF16 [320, 64]; found F32" in refusal(packed, tmp_path)


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
def test_an_embedding_that_is_not_finite_is_refused(
    packed: TinyCheckpoint, tmp_path: Path, value: float
) -> None:
    packed.tensors[EMBEDDING][1][319, 63] = bfloat16(np.array([value]))[1][0]

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
        ("architectures", ["LlamaForCausalLM"], "LlamaForCausalLM.*supported: BitNetForCausalLM"),
        ("architectures", None, "architectures is None"),
        ("hidden_act", "silu", "hidden_act is 'silu'; supported for BitNet models: \"relu2\""),
        ("attention_bias", True, "attention_bias is True"),
        ("rope_scaling", {"type": "yarn"}, "rope_scaling"),
        ("sliding_window", 4096, "sliding_window is 4096"),
        ("rope_parameters", {"rope_type": "yarn"}, "rope_type is 'yarn'"),
        ("rope_parameters", {"rope_theta": 1e4, "factor": 2}, "factor is 2"),
        ("quantization_config", None, "quant_method is missing"),
    ],
)
def test_a_model_of_another_kind_is_refused_in_words(
    packed: TinyCheckpoint, tmp_path: Path, key: str, value: Any, message: str
) -> None:
    packed.config[key] = value
    error = CheckpointError if key == "quantization_config" else UnsupportedModel
    packed.write(tmp_path)

    with pytest.raises(error, match=message):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("quant_method", "gptq", "quant_method is 'gptq'"),
        ("linear_class", "bitlinear", "linear_class is 'bitlinear'"),
        ("linear_class", None, "linear_class is None"),
        ("quantization_mode", "later", "quantization_mode is 'later'"),
        ("use_rms_norm", True, "use_rms_norm is True"),
        ("modules_to_not_convert", ["q_proj"], "modules_to_not_convert is"),
    ],
)
def test_a_quantisation_of_another_kind_is_refused_in_words(
    packed: TinyCheckpoint, tmp_path: Path, key: str, value: Any, message: str
) -> None:
    packed.config["quantization_config"][key] = value
    packed.write(tmp_path)

    with pytest.raises(UnsupportedModel, match=message):
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
