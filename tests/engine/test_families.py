"""What each family's config means, and what is refused in which words. No weights are read."""

from typing import Any

import pytest

from tercet_engine import CheckpointError, UnsupportedModel
from tercet_engine.families import find_family
from tercet_engine.families.family import Plan, WeightForm
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import Activation
from tercet_engine.rope import RopeScaling
from tests.oracle.layouts import LAYOUTS, make
from tests.oracle.make_tiny import random_checkpoint

BITNET = random_checkpoint().config
CONFIGS = {"bitnet": BITNET} | {name: make(name).config for name in LAYOUTS}
LLAMA = CONFIGS["llama_bitlinear"]
DENSE = CONFIGS["llama_dense"]
QWEN3 = CONFIGS["qwen3_dense"]
MINICPM = CONFIGS["minicpm_dense"]
LEGACY = CONFIGS["bitnet_legacy"]


def plan_of(config: dict[str, Any], **changes: Any) -> Plan:
    """The plan of a config with some keys changed; those set to `...` are left out."""
    values = {key: value for key, value in (config | changes).items() if value is not ...}
    file = ConfigFile(values, "config.json")
    return find_family(file).read_plan(file)


def quantization(**keys: Any) -> dict[str, Any]:
    return {"quant_method": "bitnet", **keys}


def test_bitnet_has_squared_relu_sub_norms_and_one_scale_a_token() -> None:
    plan = plan_of(BITNET)

    assert (plan.form, plan.has_tied_head) == (WeightForm.PACKED, True)
    assert plan.shape.activation is Activation.RELU2
    assert plan.shape.has_sub_norms
    assert (plan.shape.weight_group, plan.shape.activation_group) == (0, 0)


def test_the_first_bitnet_is_masters_with_silu() -> None:
    plan = plan_of(LEGACY)

    assert plan.form is WeightForm.MASTERS
    assert (plan.shape.activation, plan.shape.has_sub_norms) == (Activation.SILU, True)
    assert plan.shape.activation_group == 0


def test_llama_has_neither_sub_norms_nor_norms_of_heads() -> None:
    shape = plan_of(LLAMA).shape

    assert set(shape.norm_sizes) == {"attention", "feed_forward"}
    assert shape.activation is Activation.SILU


def test_qwen3_has_norms_of_heads_whose_size_is_its_own() -> None:
    shape = plan_of(QWEN3).shape

    assert shape.norm_sizes["query"] == shape.norm_sizes["key"] == 32
    assert shape.linear_shapes["q"] == (128, 256)
    assert shape.rope.scaling is RopeScaling.YARN


def test_minicpm_has_three_multipliers() -> None:
    shape = plan_of(MINICPM).shape

    assert shape.embedding_scale == 12
    assert shape.residual_scale == pytest.approx(1.4 / 2**0.5)
    assert shape.logit_scale == pytest.approx(64 / 128)


@pytest.mark.parametrize(
    ("section", "form"),
    [
        (quantization(), WeightForm.PACKED_INVERSE),
        (quantization(linear_class="bitlinear"), WeightForm.PACKED_INVERSE),
        (quantization(modules_to_not_convert=["lm_head"]), WeightForm.PACKED_INVERSE),
        (quantization(linear_class="autobitlinear"), WeightForm.PACKED),
        (
            quantization(linear_class="autobitlinear", quantization_mode="online"),
            WeightForm.MASTERS,
        ),
    ],
)
@pytest.mark.parametrize("config", [BITNET, DENSE, QWEN3, MINICPM])
def test_the_same_section_means_the_same_in_every_family(
    config: dict[str, Any], section: dict[str, Any], form: WeightForm
) -> None:
    plan = plan_of(config, quantization_config=section)

    assert (plan.form, plan.shape.activation_group) == (form, 0)


@pytest.mark.parametrize("config", [DENSE, QWEN3, MINICPM])
@pytest.mark.parametrize("section", [None, {}, ...])
def test_without_the_section_weights_are_plain_numbers_and_activations_are_not_defined(
    config: dict[str, Any], section: Any
) -> None:
    plan = plan_of(config, quantization_config=section)

    assert (plan.form, plan.shape.activation_group) == (WeightForm.DENSE, 128)
    assert not plan.may_hold_masters


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bitnet", (2048, 1e-5, 500_000.0, 16)),
        ("bitnet_legacy", (2048, 1e-6, 10_000.0, 16)),
        ("llama_bitlinear", (2048, 1e-6, 10_000.0, 16)),
        ("qwen3_dense", (32_768, 1e-6, 10_000.0, 128)),
        ("minicpm_dense", (2048, 1e-6, 10_000.0, 32)),
    ],
)
def test_what_a_config_leaves_out_has_the_defaults_of_its_class(
    name: str, expected: tuple[Any, ...]
) -> None:
    left_out = dict.fromkeys(
        ("max_position_embeddings", "rms_norm_eps", "rope_theta", "head_dim", "rope_scaling"), ...
    )
    shape = plan_of(CONFIGS[name], **left_out).shape

    found = (shape.max_context, shape.rms_norm_eps, shape.rope.theta, shape.head_dim)
    assert found == expected


def test_a_head_is_tied_by_word_by_class_or_by_the_tensors() -> None:
    assert plan_of(LLAMA, tie_word_embeddings=True).has_tied_head is True
    assert plan_of(LLAMA, tie_word_embeddings=...).has_tied_head is None
    assert plan_of(BITNET, tie_word_embeddings=...).has_tied_head is False
    assert plan_of(MINICPM, tie_word_embeddings=None).has_tied_head is True


@pytest.mark.parametrize(
    ("flags", "biases"),
    [
        ({}, ()),
        ({"attention_bias": True}, ("q", "k", "v", "o")),
        ({"mlp_bias": True}, ("gate", "up", "down")),
    ],
)
def test_flags_say_which_matrices_add_a_bias(
    flags: dict[str, bool], biases: tuple[str, ...]
) -> None:
    assert plan_of(DENSE, **flags).shape.biases == biases


@pytest.mark.parametrize(
    "keys",
    [
        {"use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 28},
        {"layer_types": ["full_attention", "full_attention"]},
        {"num_experts": 0, "partial_rotary_factor": 1.0, "sliding_window": None},
        {"pretraining_tp": 4, "attention_dropout": 0.1, "use_cache": False},
    ],
)
def test_keys_that_change_nothing_are_passed_over(keys: dict[str, Any]) -> None:
    assert plan_of(QWEN3, **keys) == plan_of(QWEN3)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_experts", 8, "num_experts is '8': mixture of experts; supported are plain decoders"),
        ("num_local_experts", 8, "mixture of experts"),
        ("n_routed_experts", 64, "mixture of experts"),
        ("sliding_window", 4096, "sliding_window is '4096': sliding-window attention"),
        ("use_sliding_window", True, "sliding-window attention"),
        ("layer_types", ["full_attention", "sliding_attention"], "sliding-window attention"),
        ("layer_types", ["linear_attention"], "gated delta-net layers"),
        ("layer_types", ["chunked_attention"], "attention in chunks"),
        ("layer_types", ["mamba"], "layer_types is 'mamba': mamba; supported are plain decoders"),
        ("linear_num_value_heads", 32, "gated delta-net layers"),
        ("sparse_config", {"kernel_size": 32}, "sparse attention"),
        ("kv_lora_rank", 256, "latent attention"),
        ("partial_rotary_factor", 0.5, "heads that turn in part"),
        ("final_logit_softcapping", 30.0, "capped logits"),
        ("attn_logit_softcapping", 50.0, "capped attention"),
        ("use_bidirectional_attention", True, "attention to what follows"),
        ("clip_qkv", 8.0, "clipped queries and keys"),
        ("quantization", {"bits": 2, "group_size": 128}, "weights packed by MLX"),
        ("hadamard_block_size", 128, r"weights in a rotated \(Hadamard\) basis"),
        ("weight_rotation", "hadamard", "rotated"),
        ("hidden_act", "gelu", "hidden_act is 'gelu'; supported in this family: \"(silu|relu2)\""),
        ("rope_scaling", {"type": "dynamic", "factor": 2}, "rope_type is 'dynamic'"),
    ],
)
def test_what_is_not_computed_is_refused_by_name_in_every_family(
    config: dict[str, Any], key: str, value: Any, message: str
) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        plan_of(config, **{"use_sliding_window": ..., key: value})


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("Qwen3NextForCausalLM", "gated delta-net layers.*and mixture of experts; supported"),
        ("Qwen3_5ForConditionalGeneration", "gated delta-net layers"),
        ("Qwen3MoeForCausalLM", "mixture of experts"),
        ("MapleForCausalLM", "mixture of experts and sliding-window attention"),
        ("MiniCPM3ForCausalLM", "latent attention"),
        ("Qwen3Model", "an embedding model with a norm before every projection"),
        ("Gemma3TextModel", "an embedding model"),
        ("GPT2LMHeadModel", r"\['GPT2LMHeadModel'\]; supported: BitNetForCausalLM, Bitnet"),
    ],
)
def test_an_unknown_architecture_is_refused_with_what_stands_in_the_way(
    architecture: str, message: str
) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        plan_of(LLAMA, architectures=[architecture])


@pytest.mark.parametrize("found", [None, [], "LlamaForCausalLM", [["x"]], ["A", "B"], [5]])
def test_anything_but_one_architecture_is_refused(found: Any) -> None:
    with pytest.raises(UnsupportedModel, match="supported: BitNetForCausalLM"):
        plan_of(LLAMA, architectures=found)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (quantization(quant_method="gptq"), "quant_method is 'gptq'; supported: \"bitnet\""),
        (quantization(linear_class="other"), "linear_class is 'other'; supported: \"bitlinear\""),
        (quantization(quantization_mode="online"), "'online'; supported: \"offline\" with 'bitl"),
        (
            quantization(linear_class="autobitlinear", quantization_mode="later"),
            '\'later\'; supported: "offline" and "online"',
        ),
        (quantization(modules_to_not_convert=["q_proj"]), "modules_to_not_convert is"),
        (quantization(hadamard=True), "hadamard is True; supported: no such thing"),
    ],
)
@pytest.mark.parametrize("config", [BITNET, LLAMA, QWEN3, MINICPM])
def test_an_unknown_quantisation_is_refused_in_words(
    config: dict[str, Any], section: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        plan_of(config, quantization_config=section)


@pytest.mark.parametrize(
    ("config", "keys", "message"),
    [
        (BITNET, {"quantization_config": None}, "quantization_config is missing; BitNet models"),
        (LEGACY, {"weight_bits": 2}, "weight_bits is 2; supported: 1"),
        (LEGACY, {"input_bits": 4}, "input_bits is 4; supported: 8"),
        (LEGACY, {"quantization_config": quantization()}, "not known in this family"),
        (
            LLAMA,
            {
                "attention_bias": True,
                "quantization_config": quantization(linear_class="autobitlinear"),
            },
            '"bitlinear" where linear layers add a bias',
        ),
    ],
)
def test_what_a_family_does_not_have_is_refused(
    config: dict[str, Any], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        plan_of(config, **keys)


@pytest.mark.parametrize(
    ("config", "keys", "message"),
    [
        (LEGACY, {"weight_bits": ...}, "weight_bits is missing"),
        (MINICPM, {"scale_emb": ...}, "scale_emb is missing"),
        (MINICPM, {"scale_depth": 0}, "scale_depth must be a number from 1e-06"),
        (MINICPM, {"dim_model_base": None}, "dim_model_base is missing"),
        (QWEN3, {"head_dim": 33}, "head_dim must be even"),
        (LLAMA, {"num_attention_heads": 6, "num_key_value_heads": 2}, "a divisor of hidden_size"),
        (LLAMA, {"intermediate_size": 190}, "190 rows; a multiple of 4 is needed"),
        (LLAMA, {"layer_types": "full_attention"}, "layer_types must be a list"),
        (LLAMA, {"attention_bias": "yes"}, "attention_bias must be true or false"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(
    config: dict[str, Any], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        plan_of(config, **keys)


def test_plain_numbers_may_have_any_number_of_rows() -> None:
    assert plan_of(DENSE, intermediate_size=190).shape.intermediate_size == 190
