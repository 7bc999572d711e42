"""Models in GGUF files: what is read of them, what is put right, and what is refused in words."""

import json
import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet_engine.config import EngineConfig
from tercet_engine.errors import CheckpointError, LoadError, UnsupportedModel
from tercet_engine.gguf_checkpoint import GgufCheckpoint
from tercet_engine.hub import EMBEDDED_MODEL, find_model
from tercet_engine.model_loader import load_model
from tercet_engine.model_shape import Activation
from tercet_engine.opened_model import open_checkpoint, open_model
from tercet_engine.progress import Silent
from tercet_engine.rope import RopeScaling
from tests.fuzz.targets import gguf_models
from tests.oracle.gguf_layouts import LAYOUTS
from tests.oracle.gguf_writer import GgufWriter, Kind, Tensor, Typed
from tests.oracle.same_weights import HEAD_DIM, HIDDEN, SHAPES, VOCAB, SameWeights

BITNET = SameWeights("bitnet-b1.58")
LLAMA = SameWeights("llama")
SHARED_BY_64 = SameWeights("qwen3", scale_group=64)
QWEN3 = SameWeights("qwen3", scale_group=128, has_ternary_tables=True)


def changed(path: Path, old: bytes, new: bytes) -> Path:
    """Change bytes of a file; there must be just one place."""
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


def load(path: Path) -> None:
    load_model(GgufCheckpoint(path), EngineConfig(num_threads=1), Silent())


def test_a_bitnet_file_has_squared_relu_sub_norms_and_int8_activations(tmp_path: Path) -> None:
    shape = GgufCheckpoint(BITNET.write_gguf(tmp_path / "a.gguf", "i2_s")).shape

    assert shape.activation is Activation.RELU2
    assert shape.has_sub_norms
    assert (shape.weight_group, shape.activation_group) == (0, 0)
    assert not shape.has_ternary_head


def test_1bitllms_files_have_silu_unless_they_say_otherwise(tmp_path: Path) -> None:
    told = {"general.architecture": "bitnet"}
    keys = {key.replace("bitnet-b1.58", "bitnet"): v for key, v in BITNET.metadata().items()}
    path = BITNET.write_gguf(tmp_path / "a.gguf", "i2_s", **(keys | told))

    assert GgufCheckpoint(path).shape.activation is Activation.SILU


def test_a_qwen3_file_has_head_norms_a_ternary_head_and_groups(tmp_path: Path) -> None:
    shape = GgufCheckpoint(QWEN3.write_gguf(tmp_path / "a.gguf", "q2_0_g64")).shape

    assert shape.has_head_norms
    assert not shape.has_sub_norms
    assert shape.has_ternary_head
    assert (shape.weight_group, shape.activation_group) == (128, 128)


def test_stretched_positions_are_read(tmp_path: Path) -> None:
    scaling = {
        "qwen3.rope.scaling.type": "yarn",
        "qwen3.rope.scaling.factor": 4.0,
        "qwen3.rope.scaling.original_context_length": 128,
    }
    rope = GgufCheckpoint(QWEN3.write_gguf(tmp_path / "a.gguf", "q2_0_g128", **scaling)).shape.rope

    assert (rope.scaling, rope.factor, rope.original_context) == (RopeScaling.YARN, 4.0, 128)


@pytest.mark.parametrize(
    ("key", "value", "error", "match"),
    [
        ("general.architecture", "qwen35", UnsupportedModel, "gated delta-net layers"),
        ("general.architecture", "qwen3moe", UnsupportedModel, "mixture of experts"),
        ("general.architecture", "gpt2", UnsupportedModel, "'gpt2'; supported: bitnet-b1.58"),
        ("prism.hadamard.block_size", 128, UnsupportedModel, "Hadamard-rotated basis"),
        ("llama.attention.sliding_window", 512, UnsupportedModel, "sliding-window attention"),
        ("llama.expert_count", 8, UnsupportedModel, "mixture of experts"),
        ("llama.rope.scaling.type", "spiral", UnsupportedModel, "rope.scaling.type is 'spiral'"),
        ("llama.embedding_length", 320, CheckpointError, r"should be \[256, 320\]"),
        ("llama.block_count", 3, CheckpointError, r"blk\.2\.attn_\w+\.weight is missing"),
        ("llama.block_count", 1, CheckpointError, r"blk\.1\.\w+\.weight is not known"),
        ("llama.embedding_length", "wide", CheckpointError, "hidden_size must be an integer"),
        ("llama.attention.head_count", [4, 4], CheckpointError, "one value for all layers; found"),
        ("llama.feed_forward_length", [512] * 2, CheckpointError, "one value for all layers"),
        ("llama.rope.scaling.type", ["yarn"], CheckpointError, "one value for all layers"),
        ("llama.rope.dimension_count", 32, UnsupportedModel, "several sizes, .*'32', '64'"),
        ("llama.attention.value_length", 32, UnsupportedModel, "several sizes, .*'32', '64'"),
        ("llama.attention.scale", 0.5, UnsupportedModel, r"attention\.scale is 0\.5"),
        ("llama.attention.causal", False, UnsupportedModel, r"attention\.causal is False"),
        ("llama.logit_scale", 2.0, UnsupportedModel, r"logit_scale is 2\.0, which is not computed"),
    ],
)
def test_what_is_not_known_is_refused_in_words(
    tmp_path: Path, key: str, value: Any, error: type[LoadError], match: str
) -> None:
    path = LLAMA.write_gguf(tmp_path / "a.gguf", "tq2_0", **{key: value})

    with pytest.raises(error, match=match):
        load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("residual_scale", "deep"),
        ("logit_scale", 0.0),
        ("block_count", "many"),
        ("embedding_scale", [1.0]),
    ],
)
def test_minicpms_multipliers_are_checked_before_they_are_used(
    tmp_path: Path, key: str, value: Any
) -> None:
    path = SameWeights("minicpm").write_gguf(
        tmp_path / "a.gguf", "tq2_0", **{f"minicpm.{key}": value}
    )

    with pytest.raises(CheckpointError, match=key):
        GgufCheckpoint(path)


@pytest.mark.parametrize("key", ["rope.scaling.factor", "rope.scale_linear"])
def test_a_factor_of_positions_without_a_type_is_linear(tmp_path: Path, key: str) -> None:
    rope = GgufCheckpoint(
        LLAMA.write_gguf(tmp_path / "a.gguf", "tq2_0", **{f"llama.{key}": 4.0})
    ).shape.rope

    assert (rope.scaling, rope.factor) == (RopeScaling.LINEAR, 4.0)


def test_yarns_factor_of_attention_comes_on_top_of_its_own(tmp_path: Path) -> None:
    scaling = {
        "llama.rope.scaling.type": "yarn",
        "llama.rope.scaling.factor": 4.0,
        "llama.rope.scaling.original_context_length": 128,
    }
    plain = GgufCheckpoint(LLAMA.write_gguf(tmp_path / "a.gguf", "tq2_0", **scaling))
    scaling["llama.rope.scaling.attn_factor"] = 0.5
    halved = GgufCheckpoint(LLAMA.write_gguf(tmp_path / "b.gguf", "tq2_0", **scaling))

    assert plain.shape.rope.scale == pytest.approx(1.1386, rel=1e-4)
    assert halved.shape.rope.scale == pytest.approx(plain.shape.rope.scale / 2)


def rewritten(path: Path, tensors: dict[str, Tensor], model: SameWeights, layout: str) -> Path:
    """A model's file with some tensors replaced."""
    original = model.write_gguf(path, layout)
    file = GgufCheckpoint(original).file
    kept = {
        name: Tensor(tensor.type_id, tensor.shape, bytes(file.bytes_of(name)))
        for name, tensor in file.tensors.items()
    }
    path.write_bytes(GgufWriter(model.metadata(), kept | tensors).to_bytes())
    return path


def test_biases_are_those_of_the_tensors_and_in_the_order_of_their_rows(tmp_path: Path) -> None:
    biases = {name: np.arange(SHAPES[name][0], dtype=np.float32) for name in "qkvo"}
    theirs = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output"}
    tensors = {
        f"blk.{layer}.{theirs[name]}.bias": Tensor(0, bias.shape, bias.tobytes())
        for layer in range(2)
        for name, bias in biases.items()
    }

    checkpoint = GgufCheckpoint(rewritten(tmp_path / "a.gguf", tensors, LLAMA, "tq2_0"))

    assert checkpoint.shape.biases == ("q", "k", "v", "o")
    half = HEAD_DIM // 2
    assert checkpoint.bias(1, "q")[:3].tolist() == [0, 2, 4]  # rows lie in pairs, (i, i + half)
    assert checkpoint.bias(1, "q")[half : half + 3].tolist() == [1, 3, 5]
    assert checkpoint.bias(1, "v").tolist() == biases["v"].tolist()
    load(checkpoint.folder)


def test_positions_that_are_scaled_twice_are_refused(tmp_path: Path) -> None:
    factors = np.ones(HEAD_DIM // 2, np.float32)
    path = LLAMA.write_gguf(tmp_path / "a.gguf", "tq2_0")
    file = GgufCheckpoint(path).file
    tensors = {
        name: Tensor(tensor.type_id, tensor.shape, bytes(file.bytes_of(name)))
        for name, tensor in file.tensors.items()
    }
    tensors["rope_freqs.weight"] = Tensor(0, factors.shape, factors.tobytes())
    keys = LLAMA.metadata() | {"llama.rope.scaling.factor": 4.0}
    path.write_bytes(GgufWriter(keys, tensors).to_bytes())

    with pytest.raises(UnsupportedModel, match="positions are scaled twice"):
        GgufCheckpoint(path)


def test_a_matrix_of_another_size_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    codes, scales = BITNET.matrices[1, "up"]
    type_id, encode = LAYOUTS["i2_s"]
    half = codes[: len(codes) // 2]
    tensor = {"blk.1.ffn_up.weight": Tensor(type_id, half.shape, encode(half, scales))}

    with pytest.raises(CheckpointError, match=r"ffn_up\.weight should be \[512, 256\]; found"):
        GgufCheckpoint(rewritten(tmp_path / "a.gguf", tensor, BITNET, "i2_s"))


def test_blocks_of_several_sizes_are_computed_in_the_smallest_groups(tmp_path: Path) -> None:
    codes, scales = SHARED_BY_64.matrices[0, "up"]
    type_id, encode = LAYOUTS["tq2_0"]
    large = encode(codes, scales[:, :1])
    tensor = {"blk.0.ffn_up.weight": Tensor(type_id, codes.shape, large)}

    path = rewritten(tmp_path / "a.gguf", tensor, SHARED_BY_64, "q2_0_g64")

    assert GgufCheckpoint(path).shape.weight_group == 64
    load(path)


def test_scales_that_only_the_last_rows_do_not_share_are_found(tmp_path: Path) -> None:
    model = SameWeights("qwen3")
    codes, scales = model.matrices[1, "down"]
    differing = np.repeat(scales, codes.shape[1] // 128, axis=1)
    differing[-1, -1] *= 2
    type_id, encode = LAYOUTS["q2_0_g128"]
    tensor = {"blk.1.ffn_down.weight": Tensor(type_id, codes.shape, encode(codes, differing))}

    checkpoint = GgufCheckpoint(rewritten(tmp_path / "a.gguf", tensor, model, "q2_0_g128"))

    assert checkpoint.shape.weight_group == 128


def test_an_ordinary_model_is_refused_as_not_ternary(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).standard_normal(SHAPES["up"]).astype(np.float16)
    tensor = {"blk.1.ffn_up.weight": Tensor(1, numbers.shape, numbers.tobytes())}

    with pytest.raises(UnsupportedModel, match=r"blk\.1\.ffn_up\.weight is not ternary: 9\d"):
        load(rewritten(tmp_path / "a.gguf", tensor, LLAMA, "f16"))


def test_a_quantised_matrix_that_is_not_ternary_is_refused_by_its_type(tmp_path: Path) -> None:
    rows, cols = SHAPES["o"]
    tensor = {"blk.0.attn_output.weight": Tensor(2, (rows, cols), bytes(rows * cols // 32 * 18))}

    with pytest.raises(
        UnsupportedModel, match=r"blk\.0\.attn_output\.weight is q4_0, which is not"
    ):
        load(rewritten(tmp_path / "a.gguf", tensor, LLAMA, "tq2_0"))


def test_tl1_files_are_refused_by_name(tmp_path: Path) -> None:
    rows, cols = SHAPES["k"]
    tensor = {"blk.0.attn_k.weight": Tensor(38, (rows, cols), bytes(rows * cols // 4 + 32))}

    with pytest.raises(UnsupportedModel, match=r"TL1 or .*not supported \(its tiles are cut"):
        load(rewritten(tmp_path / "a.gguf", tensor, BITNET, "i2_s"))


@pytest.mark.parametrize(
    ("place", "content", "match"),
    [
        (0, b"\xff", "holds code 3"),
        (-32, np.float32(np.nan).tobytes(), "the scale of .* should be over 0; found nan"),
        (-32, np.float32(-1).tobytes(), "the scale of .* should be over 0; found -1"),
    ],
)
def test_a_damaged_i2_s_matrix_is_refused_by_its_name(
    tmp_path: Path, place: int, content: bytes, match: str
) -> None:
    codes, scales = BITNET.matrices[1, "down"]
    _, encode = LAYOUTS["i2_s"]
    damaged = bytearray(encode(codes, scales))
    begin = place % len(damaged)
    damaged[begin : begin + len(content)] = content
    tensor = {"blk.1.ffn_down.weight": Tensor(36, codes.shape, bytes(damaged))}

    with pytest.raises(CheckpointError, match=match) as raised:
        load(rewritten(tmp_path / "a.gguf", tensor, BITNET, "i2_s"))
    assert "blk.1.ffn_down.weight" in str(raised.value)


def test_two_times_the_scale_is_a_weight_of_q2_0_if_it_is_rare(tmp_path: Path) -> None:
    codes, scales = QWEN3.matrices[0, "up"]
    few, many = codes.copy(), codes.copy()
    few[5, 70:73] = 3
    many[:, ::4] = 3
    _, encode = LAYOUTS["q2_0_g128"]

    def path_of(changed_codes: np.ndarray[Any, np.dtype[np.uint8]]) -> Path:
        tensor = Tensor(42, codes.shape, encode(changed_codes, scales))
        return rewritten(tmp_path / "a.gguf", {"blk.0.ffn_up.weight": tensor}, QWEN3, "q2_0_g128")

    loaded = load_model(GgufCheckpoint(path_of(few)), EngineConfig(num_threads=1), Silent())
    assert loaded.runner.model.num_outliers == 3
    with pytest.raises(CheckpointError, match=r"ffn_up\.weight.*at most one in 256 may be"):
        load(path_of(many))


def the_public_2b4t_keys() -> dict[str, Any]:
    """The 24 keys of ggml-model-i2_s.gguf, in order, with a small model's sizes and tokens."""
    published = json.loads((EMBEDDED_MODEL / "tokenizer.json").read_text())
    ids = published["model"]["vocab"] | {t["content"]: t["id"] for t in published["added_tokens"]}
    tokens = sorted(ids, key=lambda text: ids[text])
    special = {token["content"] for token in published["added_tokens"]}
    wrong = "{% for m in messages %}Human: {{ m.content }}\n\nBITNETAssistant: {% endfor %}"
    return {
        "general.architecture": "bitnet-b1.58",
        "general.name": "bitnet2b",
        "bitnet-b1.58.vocab_size": len(tokens),
        "bitnet-b1.58.context_length": 4096,
        "bitnet-b1.58.embedding_length": HIDDEN,
        "bitnet-b1.58.block_count": 2,
        "bitnet-b1.58.feed_forward_length": SHAPES["up"][0],
        "bitnet-b1.58.rope.dimension_count": HEAD_DIM,
        "bitnet-b1.58.attention.head_count": 4,
        "bitnet-b1.58.attention.head_count_kv": 2,
        "tokenizer.ggml.add_bos_token": True,
        "bitnet-b1.58.attention.layer_norm_rms_epsilon": 1e-5,
        "bitnet-b1.58.rope.freq_base": 500_000.0,
        "general.file_type": Typed(Kind.U32, 40),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": Typed(Kind.F32, [0.0] * len(tokens)),
        "tokenizer.ggml.token_type": [3 if text in special else 1 for text in tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in published["model"]["merges"]],
        "tokenizer.ggml.bos_token_id": ids["<|begin_of_text|>"],
        "tokenizer.ggml.eos_token_id": ids["<|end_of_text|>"],
        "tokenizer.ggml.padding_token_id": ids["<|end_of_text|>"],
        "tokenizer.chat_template": wrong,
        "general.quantization_version": Typed(Kind.U32, 2),
    }


def test_the_public_2b4t_files_faults_are_put_right_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = the_public_2b4t_keys()
    file = GgufCheckpoint(BITNET.write_gguf(tmp_path / "plain.gguf", "i2_s")).file
    tensors = {
        name: Tensor(tensor.type_id, tensor.shape, bytes(file.bytes_of(name)))
        for name, tensor in file.tensors.items()
    }
    table = np.ones((len(keys["tokenizer.ggml.tokens"]), HIDDEN), np.float16)
    tensors["token_embd.weight"] = Tensor(1, table.shape, table.tobytes())
    path = tmp_path / "ggml-model-i2_s.gguf"
    path.write_bytes(GgufWriter(keys, tensors).to_bytes())

    with caplog.at_level(logging.WARNING):
        opened = open_model(path)

    assert len(keys) == 24
    assert opened.checkpoint.shape.activation is Activation.RELU2
    assert opened.chat_template is not None
    assert "BITNETAssistant" not in opened.chat_template.source
    ends = {keys["tokenizer.ggml.eos_token_id"], opened.tokenizer.token_id("<|eot_id|>")}
    assert ends <= opened.stop_token_ids
    told = caplog.text
    for what in ("squared ReLU", "pre-tokenizer: llama-bpe", "chat template", "stop tokens"):
        assert what in told


def test_a_tied_head_is_the_embedding(tmp_path: Path) -> None:
    checkpoint = GgufCheckpoint(BITNET.write_gguf(tmp_path / "a.gguf", "i2_s"))

    assert checkpoint.head_name == checkpoint.embedding_name
    assert checkpoint.table(checkpoint.head_name).rows == VOCAB


def test_files_that_are_wrong_as_models_are_served_or_refused_in_words() -> None:
    for case in range(60):  # `python -m tests.fuzz gguf_models` goes on
        gguf_models.run(gguf_models.mutate(b"", random.Random(case)))


def test_a_gguf_file_is_known_by_how_it_begins(tmp_path: Path) -> None:
    blob = BITNET.write_gguf(tmp_path / "8143ae11", "i2_s")
    (tmp_path / "notes").write_text("no model")

    assert find_model(blob).path == blob
    assert open_checkpoint(blob).shape.vocab_size == VOCAB
    with pytest.raises(UnsupportedModel, match="is a file and no GGUF file"):
        find_model(tmp_path / "notes")


@pytest.mark.parametrize("layout", ["f32", "f16", "bf16", "q8_0", "q4_0", "q6_k", "q2_0_g128"])
def test_a_table_that_is_not_finite_is_refused_by_its_name(tmp_path: Path, layout: str) -> None:
    size = {"f32": 4, "f16": 2, "bf16": 2, "q8_0": 34, "q4_0": 18, "q6_k": 210, "q2_0_g128": 34}
    weights = {"q8_0": 32, "q4_0": 32, "q6_k": 256, "q2_0_g128": 128}.get(layout, 1)
    infinite = {"f32": b"\0\0\x80\x7f", "bf16": b"\x80\x7f"}.get(layout, b"\0\x7c")
    block = size[layout]
    place = 208 if layout == "q6_k" else 0
    content = bytearray(VOCAB * HIDDEN // weights * block)
    last = len(content) - block + place
    content[last : last + len(infinite)] = infinite
    ids = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q4_0": 2, "q6_k": 14, "q2_0_g128": 42}
    tensor = Tensor(ids[layout], (VOCAB, HIDDEN), bytes(content))
    path = rewritten(tmp_path / "a.gguf", {"token_embd.weight": tensor}, LLAMA, "tq2_0")

    with pytest.raises(CheckpointError, match=r"token_embd\.weight holds values that are not"):
        load(path)
