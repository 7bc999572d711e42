"""From a folder to an engine that serves it, with the extension."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tercet_engine import (
    EMBEDDED_MODEL,
    CheckpointError,
    CompletionRequest,
    EngineConfig,
    KernelUnavailable,
    ModelNotFound,
    SamplingParams,
    SelfTestFailed,
    UnsupportedModel,
    _core,
    kernel_choice,
    load_engine,
    load_synthetic_engine,
)
from tercet_engine.core_words import core_config
from tercet_engine.kernel_choice import check_packing, choose_kernels, supported_kernels
from tercet_engine.model_loader import load_model
from tercet_engine.progress import Silent
from tercet_engine.synthetic import SHAPES, SyntheticWeights
from tests.model.running import load
from tests.oracle.make_tiny import TinyCheckpoint, random_checkpoint

Q = "model.layers.0.self_attn.q_proj.weight"


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.total_bytes = 0
        self.done: list[tuple[int, str]] = []
        self.is_finished = False

    def start(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes

    def advance(self, num_bytes: int, what: str) -> None:
        self.done.append((num_bytes, what))

    def finish(self) -> None:
        self.is_finished = True


async def generate(engine, text: str, **params: object) -> str:
    tokens = engine.tokenizer.encode(text)
    (stream,) = engine.submit([CompletionRequest(tokens, SamplingParams(**params))])
    return "".join([delta.text async for delta in stream])


async def test_the_embedded_model_is_served() -> None:
    engine = load_engine(config=EngineConfig(num_threads=1, max_context=256))
    try:
        text = await generate(engine, "User: Hi", max_tokens=8, temperature=0, ignore_eos=True)
        await engine.check_invariants()
    finally:
        engine.close()

    assert text
    assert engine.info.model_id == "tercet-tiny"
    assert engine.info.max_context_tokens == 256
    assert engine.info.stop_token_ids == {4089, 4095}
    assert engine.info.kernels == supported_kernels()[0]
    assert engine.chat_template is not None


def test_progress_is_told_of_every_byte() -> None:
    listener = Listener()
    load_engine(config=EngineConfig(num_threads=1), progress=listener).close()

    assert listener.is_finished
    assert sum(num_bytes for num_bytes, _ in listener.done) == listener.total_bytes > 4_000_000


def test_the_fingerprint_is_the_models_and_not_the_machines(tmp_path: Path) -> None:
    folder = random_checkpoint().write(tmp_path)
    first = load(folder, kernels="reference", num_threads=1, max_context=64)
    second = load(folder, num_threads=2)

    assert first.fingerprint == second.fingerprint
    assert first.fingerprint.startswith("tc-")
    assert len(first.fingerprint) == 19


def test_the_fingerprint_changes_with_anything_that_changes_answers(tmp_path: Path) -> None:
    model = random_checkpoint()
    fingerprints = [load(model.write(tmp_path / "a")).fingerprint]
    fingerprints.append(load(tmp_path / "a", head="int8").fingerprint)
    model.config["rope_theta"] = 10_000.0
    fingerprints.append(load(model.write(tmp_path / "b")).fingerprint)
    model.tensors[f"{Q}_scale"] = ("F32", np.array([0.5], np.float32))
    fingerprints.append(load(model.write(tmp_path / "c")).fingerprint)
    model.tensors[Q] = ("U8", model.tensors[Q][1][::-1])
    fingerprints.append(load(model.write(tmp_path / "d")).fingerprint)

    assert len(set(fingerprints)) == 5


def test_a_code_that_means_no_weight_is_refused_with_its_place(tmp_path: Path) -> None:
    damaged = random_checkpoint()
    damaged.tensors[Q][1][3, 5] |= 0b1100

    with pytest.raises(CheckpointError, match=f"{Q}: .*3"):
        load(damaged.write(tmp_path))


def test_sizes_that_the_kernels_cannot_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="head_dim is 8"):
        load(random_checkpoint(num_heads=8).write(tmp_path))


def with_tokenizer(model: TinyCheckpoint, folder: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(EMBEDDED_MODEL / name, model.write(folder) / name)
    return folder


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    folder = with_tokenizer(random_checkpoint(vocab_size=4000), tmp_path)

    with pytest.raises(CheckpointError, match="tokenizer has 4096 tokens, the model only 4000"):
        load_engine(folder)


async def test_a_folder_without_a_template_is_served_in_its_familys_format(tmp_path: Path) -> None:
    folder = with_tokenizer(random_checkpoint("masters", vocab_size=4096), tmp_path)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    engine = load_engine(folder, EngineConfig(num_threads=1))
    engine.close()
    assert engine.chat_template is not None
    prompt = engine.chat_template.prompt([{"role": "user", "content": "Hi"}])

    assert engine.tokenizer.decode(prompt.tokens) == "User: HiAssistant: "


@pytest.mark.parametrize("name", supported_kernels())
def test_kernels_can_be_chosen_by_name(name: str) -> None:
    assert choose_kernels(name) == name


def test_kernels_that_do_not_exist_are_refused_with_those_that_do() -> None:
    with pytest.raises(KernelUnavailable, match=r"sse9: this build does not have it.*reference"):
        choose_kernels("sse9")


def test_a_packing_that_the_kernels_do_not_have_is_refused_with_those_they_have() -> None:
    with pytest.raises(KernelUnavailable, match=r"packing zip: kernels reference.*auto.* 2bit"):
        check_packing("zip", "reference", SHAPES["tiny"])


@pytest.mark.parametrize("kernels", supported_kernels())
def test_weights_take_the_memory_that_was_counted_before_loading(kernels: str) -> None:
    counted = {}
    for packing in (*_core.packings(kernels), "auto"):
        config = EngineConfig(num_threads=1, kernels=kernels, packing=packing)
        loaded = load_model(SyntheticWeights(SHAPES["tiny"]), config, Silent())
        counted[packing] = loaded.plan.weight_bytes
        if packing != "auto":
            assert loaded.runner.model.packing == packing
            assert loaded.runner.model.weight_bytes == counted[packing]

    assert counted.pop("auto") == max(counted.values())


@pytest.mark.parametrize(("packing", "bits", "spare"), [("2bit", 2, 0.01), ("5in8", 1.6, 0.01)])
def test_the_real_models_weights_have_the_known_size(
    packing: str, bits: float, spare: float
) -> None:
    sizes = core_config(SHAPES["2b4t"])
    kernels = [name for name in supported_kernels() if packing in _core.packings(name)]
    if not kernels:
        pytest.skip(f"no kernel set of this CPU has {packing}")
    counted = _core.ModelBuilder.weight_bytes(
        sizes, kernels=kernels[0], head="int8", packing=packing
    )
    head = 128_256 * (2560 + 4)  # a byte a value and a scale a row

    assert counted - head == pytest.approx(2_084_044_800 * bits / 8, rel=spare)


def a_machine_with_kernels(monkeypatch: pytest.MonkeyPatch, names: list[str], wrong: str) -> None:
    """Pretend that this machine runs kernel sets `names`, of which `wrong` fails its self-test."""

    def self_test(kernels: str) -> str | None:
        return f"{kernels}: int8_gemm differs" if kernels == wrong else None

    monkeypatch.setattr(_core, "supported_kernels", lambda: names)
    monkeypatch.setattr(_core, "self_test", self_test)
    monkeypatch.setattr(kernel_choice, "try_kernels", lambda kernels, _: self_test(kernels))


def test_amx_that_computes_something_else_is_replaced_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    a_machine_with_kernels(monkeypatch, ["amx", "avx512_vnni", "reference"], wrong="amx")

    assert choose_kernels("") == "avx512_vnni"
    assert "int8_gemm differs" in caplog.text
    assert "avx512_vnni serve instead" in caplog.text


def test_amx_that_cannot_even_be_tried_is_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    a_machine_with_kernels(monkeypatch, ["amx", "avx2"], wrong="none")
    monkeypatch.setattr(kernel_choice, "try_kernels", lambda *_: "a trial was ended by signal 4")

    assert choose_kernels("") == "avx2"
    assert "ended by signal 4" in caplog.text


@pytest.mark.parametrize(
    ("names", "asked"), [(["amx", "avx2"], "amx"), (["avx2", "reference"], "")]
)
def test_other_kernels_and_those_asked_for_by_name_are_never_replaced(
    monkeypatch: pytest.MonkeyPatch, names: list[str], asked: str
) -> None:
    a_machine_with_kernels(monkeypatch, names, wrong=names[0])

    with pytest.raises(SelfTestFailed, match=f"kernels {names[0]} do not agree"):
        choose_kernels(asked)


async def test_a_synthetic_model_is_served_and_stays_finite() -> None:
    config = EngineConfig(num_threads=1, max_context=64, max_sequences=4)
    engine = load_synthetic_engine("tiny", config)
    try:
        model = engine.info
        await generate(engine, "Hello there", max_tokens=40, temperature=1, seed=1)
    finally:
        engine.close()

    assert (model.vocab_size, model.stop_token_ids) == (4096, frozenset())
    assert model.model_id == "synthetic-tiny"


def test_synthetic_logits_spread_by_a_few_units() -> None:
    loaded = load_model(
        SyntheticWeights(SHAPES["tiny"]), EngineConfig(num_threads=1, head="bf16"), Silent()
    )
    model, zero = loaded.runner.model, np.array([0], np.int32)
    prompt = np.arange(5, 45, dtype=np.int32)
    table = np.array([[0, 1, 2]], np.int32)
    starts, last = np.array([0, 40], np.int32), np.array([39], np.int32)
    model.forward(_core.KVCache(model, 3), prompt, starts, zero, table, last)

    assert 0.5 < model.logits().std() < 10


def test_synthetic_weights_are_the_same_every_time() -> None:
    first, second = (SyntheticWeights(SHAPES["tiny"], seed=3) for _ in range(2))

    np.testing.assert_array_equal(first.linear(1, "q").data, second.linear(1, "q").data)
    assert not np.array_equal(first.linear(1, "q").data, first.linear(2, "q").data)


def test_a_synthetic_shape_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ModelNotFound, match=r"70b is no synthetic shape; choose one of tiny.*2b4t"):
        load_synthetic_engine("70b")
