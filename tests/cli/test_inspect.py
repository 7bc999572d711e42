"""`tercet inspect`: what it tells of models, and of what is none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tercet_engine import EMBEDDED_MODEL
from tercet_engine.gguf import GgufFile
from tercet_engine.inspection.scan import ternary_group
from tests.cli.conftest import Outcome
from tests.oracle.embedded_gguf import write_embedded
from tests.oracle.gguf_models import byte_level_keys, tensor
from tests.oracle.gguf_writer import GgufWriter

Tercet = Callable[..., Outcome]
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 100,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the embedded model, to be damaged."""
    return Path(shutil.copytree(EMBEDDED_MODEL, tmp_path / "copy"))


def inspected(tercet: Tercet, *arguments: str) -> dict[str, Any]:
    outcome = tercet("inspect", "--json", *arguments)
    found: dict[str, Any] = json.loads(outcome.out)
    assert outcome.exit_code == (0 if found["servable"] else 1)
    assert outcome.err.strip() == ("" if found["servable"] else f"tercet: {found['reason']}")
    return found


def refused(tercet: Tercet, path: Path) -> tuple[str, str]:
    found = inspected(tercet, str(path))
    assert not found["servable"]
    assert "\n" not in found["reason"]
    return found["verdict"], found["reason"]


def test_a_model_is_described_for_machines(tercet: Tercet) -> None:
    found = inspected(tercet, "tercet-tiny", "--context", "1024")

    assert found["name"] == "tercet-tiny"
    assert found["architecture"] == "BitNetForCausalLM"
    assert found["grid"] == "one scale a matrix"
    assert found["shape"]["num_layers"] == 5
    assert found["tokenizer"] == {
        "kind": "BPE",
        "num_tokens": 4096,
        "begins_with": ["<|begin_of_text|>"],
    }
    assert {stop["text"] for stop in found["stop_tokens"]} == {"<|end_of_text|>", "<|eot_id|>"}
    assert found["num_bytes"] == (EMBEDDED_MODEL / "model.safetensors").stat().st_size
    assert found["memory"]["context"] == 1024
    assert found["memory"]["kv_bytes_per_token"] == 5 * 2 * 2 * 64 * 2
    assert found["memory"]["largest_context"] == 2048
    assert (found["verdict"], found["reason"]) == ("yes", None)


def test_a_model_is_described_for_people(tercet: Tercet) -> None:
    outcome = tercet("inspect")

    assert outcome.exit_code == 0
    assert outcome.err == ""
    for words in ["BitNetForCausalLM", "7,864,320", "relu2", "its own", "memory at 2048 tokens"]:
        assert words in outcome.out


def test_weights_are_not_read(tercet: Tercet, folder: Path) -> None:
    weights = folder / "model.safetensors"
    size, header = weights.stat().st_size, weights.read_bytes()[:100_000]
    weights.write_bytes(header)
    with weights.open("r+b") as file:
        file.truncate(size)  # a hole instead of what follows the header

    assert inspected(tercet, str(folder))["verdict"] == "yes"


def test_what_was_pulled_is_found_by_its_name_and_nothing_is_fetched(tercet: Tercet) -> None:
    outcome = tercet("inspect", "org/never-pulled")

    assert outcome.exit_code == 2
    assert "not on this disk; fetch it with `tercet pull org/never-pulled`" in outcome.err


def test_too_long_a_context_is_wrong_usage(tercet: Tercet) -> None:
    outcome = tercet("inspect", "--context", "4096")

    assert outcome.exit_code == 2
    assert "at most 2048 tokens" in outcome.err


def test_what_does_not_fit_is_refused_with_the_sum_and_the_context_that_does(
    tercet: Tercet, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 90_000_000
    monkeypatch.setattr("tercet_engine.inspection.inspect.usable_memory_bytes", lambda: free)
    found = inspected(tercet)
    largest = found["memory"]["largest_context"]

    assert found["verdict"] == "too large"
    assert 0 < largest < 2048
    assert f"the largest context that fits is {largest} tokens" in found["reason"]
    assert inspected(tercet, "--context", str(largest))["servable"]
    monkeypatch.setattr("tercet_engine.inspection.inspect.usable_memory_bytes", lambda: 1000)
    assert inspected(tercet)["memory"]["largest_context"] == 0


def ordinary(folder: Path, scale: float | None = None) -> Path:
    """A folder of a Llama of random weights; with `scale` they are ternary."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float16)
    if scale is not None:
        weights = (np.clip(np.rint(weights), -1, 1) * scale).astype(np.float16)
    save_file({"model.layers.0.self_attn.q_proj.weight": weights}, folder / "model.safetensors")
    return folder


def test_an_ordinary_llama_is_told_from_a_ternary_one(tercet: Tercet, tmp_path: Path) -> None:
    verdict, reason = refused(tercet, ordinary(tmp_path / "ordinary"))

    assert verdict == "not ternary"
    assert "ordinary LlamaForCausalLM weights (f16), which are not ternary" in reason
    assert refused(tercet, ordinary(tmp_path / "ternary", 0.02))[0] != "not ternary"


def test_a_folder_without_config_is_incomplete(tercet: Tercet, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").touch()

    verdict, reason = refused(tercet, tmp_path)
    assert verdict == "incomplete"
    assert "config.json is missing; give one of its files, x.gguf" in reason


@pytest.mark.parametrize(
    ("missing", "words"),
    [("model.safetensors", "lacks weights"), ("tokenizer.json", "has no tokenizer")],
)
def test_a_missing_file_is_named(tercet: Tercet, folder: Path, missing: str, words: str) -> None:
    (folder / missing).unlink()
    verdict, reason = refused(tercet, folder)

    assert verdict == "incomplete"
    assert words in reason


def test_a_truncated_file_is_damaged(tercet: Tercet, folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-10])
    verdict, reason = refused(tercet, folder)

    assert verdict == "damaged"
    assert "is truncated" in reason


def test_a_text_file_is_no_model(tercet: Tercet, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Hello")

    assert refused(tercet, tmp_path / "notes.txt")[1].endswith(
        "notes.txt is no model: neither a GGUF file nor a folder in the Hugging Face layout"
    )


def gguf(path: Path, *, type_id: int) -> Path:
    keys = byte_level_keys(EMBEDDED_MODEL / "tokenizer.json")
    keys |= {"general.architecture": "bitnet-b1.58"}
    tensors = {"blk.0.attn_q.weight": tensor(type_id, 4, 256)}
    path.write_bytes(GgufWriter(keys, tensors).to_bytes())
    return path


def test_a_gguf_file_is_described(tercet: Tercet, tmp_path: Path) -> None:
    found = inspected(tercet, str(write_embedded(tmp_path / "model.gguf")))
    folder = inspected(tercet)

    assert (found["name"], found["format"], found["verdict"]) == ("model", "gguf", "yes")
    assert found["architecture"] == "bitnet-b1.58"
    assert found["weights"] == "i2_s (35), f32 (21), bf16 (1)"
    assert found["grid"] == "one scale a matrix"
    assert any("squared ReLU" in override for override in found["overrides"])
    assert found["shape"] | {"rms_norm_eps": 1e-5} == folder["shape"]  # kept in float32 there
    assert all(stop in found["stop_tokens"] for stop in folder["stop_tokens"])
    for fact in ("activations", "tokenizer"):
        assert found[fact] == folder[fact]
    assert found["memory"]["weight_bytes"] == folder["memory"]["weight_bytes"]
    assert "put right" in tercet("inspect", str(tmp_path / "model.gguf")).out


@pytest.mark.parametrize(
    ("place", "content", "match"),
    [
        (777, b"\xff", "blk.1.ffn_up.weight is damaged: byte 777 holds code 3"),
        (-32, b"\x00\x00\xc0\x7f", "the scale of blk.1.ffn_up.weight should be over 0; found nan"),
    ],
)
def test_a_damaged_i2_s_matrix_is_told_by_its_name(
    tercet: Tercet, tmp_path: Path, place: int, content: bytes, match: str
) -> None:
    path = write_embedded(tmp_path / "model.gguf")
    matrix = GgufFile(path).tensors["blk.1.ffn_up.weight"]
    begin = matrix.offset + place % matrix.num_bytes
    damaged = bytearray(path.read_bytes())
    damaged[begin : begin + len(content)] = content
    path.write_bytes(damaged)

    verdict, reason = refused(tercet, path)

    assert verdict == "damaged"
    assert match in reason


def test_a_gguf_file_of_ordinary_weights_is_not_ternary(tercet: Tercet, tmp_path: Path) -> None:
    verdict, reason = refused(tercet, write_embedded(tmp_path / "model.gguf", noise=0.5))

    assert verdict == "not ternary"
    assert "ordinary bitnet-b1.58 weights (f16)" in reason
    found = inspected(tercet, str(write_embedded(tmp_path / "model.gguf", noise=0)))
    assert (found["verdict"], found["grid"]) == ("yes", "one scale a row")


def test_a_tl1_file_says_what_is_not_supported(tercet: Tercet, tmp_path: Path) -> None:
    path = gguf(tmp_path / "model.gguf", type_id=36)
    content = path.read_bytes()
    entry = content.index(b"blk.0.attn_q.weight") + len(b"blk.0.attn_q.weight") + 4 + 16
    assert content[entry] == 36
    path.write_bytes(content[:entry] + b"\x26" + content[entry + 1 :])
    verdict, reason = refused(tercet, path)

    assert verdict == "unsupported"
    assert "blk.0.attn_q.weight is TL1" in reason
    assert "i2_s" in reason


@pytest.mark.parametrize("group", [0, 256, 128, 64])
def test_the_grid_of_ternary_numbers_is_found(group: int) -> None:
    random = np.random.default_rng(1)
    ternary = random.integers(-1, 2, (16, 512 // (group or 512), group or 512)).astype(np.float32)
    scales = random.uniform(0.5, 2, ternary.shape[:2]).astype(np.float32)
    rows = (ternary * scales[..., None]).reshape(16, 512)

    assert ternary_group(rows) == group
    assert ternary_group(rows + random.standard_normal(rows.shape).astype(np.float32)) is None
