"""Training on a minute shape: it learns, and what is exported is what was trained."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tokenizers import Tokenizer  # noqa: E402 - torch first, or the whole file is skipped
from training.attention import attention, document_spans  # noqa: E402
from training.corpus import documents, pack  # noqa: E402
from training.export import export, projections  # noqa: E402
from training.model import BitNet, Block, Config  # noqa: E402
from training.muon import Muon, orthogonalise  # noqa: E402
from training.quantise import BitLinear, absmean_scale, ternarise  # noqa: E402
from training.reference import Cache, Reference, load_tensors, unpack  # noqa: E402
from training.stories.words import draw_request  # noqa: E402
from training.tokenizer import Encoder, train_tokenizer  # noqa: E402
from training.train import batch_of, schedule  # noqa: E402

SHAPE = Config(512, 32, 64, 2, 4, 2, max_position_embeddings=512)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = [draw_request(random.Random(seed)).story.text for seed in range(60)]
    return train_tokenizer(texts, SHAPE.vocab_size)


@pytest.fixture
def model() -> BitNet:
    torch.manual_seed(0)
    return BitNet(SHAPE, compute=torch.float32)


def test_the_loss_falls(model: BitNet, tokenizer: Tokenizer) -> None:
    encoder = Encoder(tokenizer)
    rows = pack(documents(encoder, [], 0.0, random.Random(1)).__next__, 2, 256, encoder.eos)
    ids, targets, spans = batch_of(rows, encoder.bos)
    ternary = [m for m in model.modules() if isinstance(m, BitLinear)]
    rest = [p for n, p in model.named_parameters() if "norm" in n or n == "embed"]
    muon, adam = Muon(ternary), torch.optim.AdamW(rest, lr=1e-2)
    losses = []
    for _ in range(25):
        loss = model(ids, targets, spans)
        loss.backward()
        muon.step(0.02, 0.1)
        adam.step()
        adam.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 1.0


def test_the_export_holds_the_ternarised_masters(
    model: BitNet, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    export(model, path, tmp_path / "export")
    stored = load_tensors(tmp_path / "export" / "model.safetensors")
    for i, block in enumerate(model.layers):
        assert isinstance(block, Block)
        for name, weight in projections(block):
            key = f"model.layers.{i}.{name}"
            scale = weight.detach().abs().mean().bfloat16().float()
            assert stored[f"{key}.weight_scale"] == scale.numpy()
            expected = ternarise(weight, scale).numpy()
            assert np.array_equal(unpack(stored[f"{key}.weight"]), expected)


def test_the_export_computes_what_the_model_does(
    model: BitNet, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    export(model, path, tmp_path / "export")
    reference = Reference(tmp_path / "export")
    ids = list(range(40))
    with torch.no_grad():
        expected = model.logits(torch.tensor(ids)).numpy()
    cache = Cache()
    in_pieces = np.concatenate(
        [reference.logits(ids[:25], cache), reference.logits(ids[25:], cache)]
    )
    # Two int8 roundings may fall to the other side; then a logit moves by a thousandth or so.
    assert np.abs(in_pieces - expected).max() < 0.02


def test_the_export_names_its_special_tokens(
    model: BitNet, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    export(model, path, tmp_path / "export")
    config = json.loads((tmp_path / "export" / "config.json").read_text())
    generation = json.loads((tmp_path / "export" / "generation_config.json").read_text())
    assert config["quantization_config"]["linear_class"] == "autobitlinear"
    assert generation["eos_token_id"] == [505, 511]
    assert (config["bos_token_id"], config["eos_token_id"]) == (504, 505)


def test_documents_do_not_see_each_other() -> None:
    torch.manual_seed(1)
    q, k, v = torch.randn(10, 2, 2, 4), torch.randn(10, 2, 4), torch.randn(10, 2, 4)
    together = attention(q, k, v, [(0, 6), (6, 10)])
    alone = attention(q[6:], k[6:], v[6:], [(0, 4)])
    assert torch.equal(together[6:], alone)


def test_attention_has_the_right_gradient() -> None:
    torch.manual_seed(2)
    inputs = [
        torch.randn(*s, dtype=torch.float64, requires_grad=True)
        for s in ((5, 2, 2, 4), (5, 2, 4), (5, 2, 4))
    ]
    assert torch.autograd.gradcheck(lambda *x: attention(*x, [(0, 3), (3, 5)]), inputs)


def test_spans_begin_at_each_bos_and_each_row() -> None:
    tokens = torch.tensor([[9, 1, 9, 2], [9, 3, 3, 3]])
    assert document_spans(tokens, bos=9) == [(0, 2), (2, 4), (4, 8)]


def test_muon_updates_are_near_orthogonal() -> None:
    torch.manual_seed(3)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(32, 64)))
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_a_scale_is_the_mean_in_bf16() -> None:
    weight = torch.tensor([[1.0, -3.0], [0.1, 0.0]])
    assert absmean_scale(weight) == weight.abs().mean().bfloat16().float()


def test_the_rate_falls_to_a_hundredth() -> None:
    shares = [schedule(t, 0, 100, 0.5) for t in (0, 50, 75, 100)]
    assert shares == pytest.approx([1.0, 1.0, 0.505, 0.01])
