"""`tercet verify`: what it passes, and that it fails what it should."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tercet_engine import EMBEDDED_MODEL, Tokenizer
from tercet_engine.checkpoint import Checkpoint
from tercet_engine.model_runner import ModelRunner
from tercet_engine.verification import find_reference, read_references, verify
from tests.cli.conftest import Outcome
from tests.oracle.decoder_numpy import Decoder
from tests.oracle.embedded_gguf import write_embedded

Tercet = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the embedded model, to be damaged."""
    return Path(shutil.copytree(EMBEDDED_MODEL, tmp_path / "copy"))


def change(path: Path, place: int, count: int) -> None:
    content = bytearray(path.read_bytes())
    content[place : place + count] = bytes(count)
    path.write_bytes(content)


def test_the_embedded_models_numbers_are_the_oracles() -> None:
    (reference,) = [one for one in read_references() if one.name == "tercet-tiny"]
    oracle = Decoder(EMBEDDED_MODEL)
    logits = oracle.logits(list(reference.ids))
    tokenizer = Tokenizer.from_folder(EMBEDDED_MODEL)
    prompt = tokenizer.encode(reference.prompt)
    answer = tokenizer.encode(reference.answer, add_special_tokens=False)
    rows = oracle.logits(prompt + answer)[len(prompt) - 1 : -1]

    assert np.allclose(logits.mean(axis=-1), reference.means, atol=2e-4)
    assert np.allclose(logits[0, :10], reference.first_logits, atol=2e-4)
    assert rows.argmax(axis=-1).tolist() == answer


def test_the_embedded_model_is_itself(tercet: Tercet) -> None:
    outcome = tercet("verify", "--json", "--threads", "1")
    found = json.loads(outcome.out)

    assert outcome.exit_code == 0
    assert (found["model"], found["reference"], found["passed"]) == (*["tercet-tiny"] * 2, True)
    assert all(check["has_passed"] for check in found["checks"])
    assert any("byte for byte" in check["name"] for check in found["checks"])
    assert any("kernels reference and the best" in check["name"] for check in found["checks"])


def test_changed_weights_are_told_by_their_numbers(tercet: Tercet, folder: Path) -> None:
    size = (folder / "model.safetensors").stat().st_size
    change(folder / "model.safetensors", size - 200_000, 100_000)
    outcome = tercet("verify", str(folder), "--threads", "1")

    assert outcome.exit_code == 1
    assert "FAIL  mean logits as published" in outcome.out
    assert "published is" in outcome.out
    assert "  -   weights are tercet-tiny, byte for byte" in outcome.out
    assert "pass  a prompt alone and in a batch" in outcome.out
    assert "checks failed" in outcome.out


def test_another_model_is_compared_with_itself_and_says_so(tercet: Tercet, folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    change(folder / "model.safetensors", 4_000_000, 10)
    outcome = tercet("verify", str(folder), "--threads", "1")

    assert outcome.exit_code == 0
    assert "no published numbers are known for it" in outcome.out
    assert "-   published numbers: none are known" in outcome.out
    named = tercet("verify", str(folder), "--as", "tercet-tiny", "--threads", "1")
    assert "against tercet-tiny" in named.out


def test_a_gguf_file_of_the_same_weights_has_the_same_numbers(
    tercet: Tercet, tmp_path: Path
) -> None:
    path = str(write_embedded(tmp_path / "model.gguf"))
    outcome = tercet("verify", path, "--as", "tercet-tiny", "--threads", "1")

    assert outcome.exit_code == 0
    assert "pass  mean logits as published (17 of them)" in outcome.out
    assert "pass  the published answer is the likeliest" in outcome.out
    assert "no published numbers are known" in tercet("verify", path, "--threads", "1").out


@pytest.mark.parametrize(
    ("name", "words"),
    [("org/unknown", "known are microsoft"), ("microsoft/bitnet-b1.58-2B-4T", "sizes are others")],
)
def test_a_name_that_cannot_be_right_is_refused(tercet: Tercet, name: str, words: str) -> None:
    outcome = tercet("verify", "--as", name)

    assert outcome.exit_code == 2
    assert words in outcome.err


def test_what_is_not_the_same_in_a_batch_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ModelRunner.logits

    def wrong(self: ModelRunner, prompts: list[list[int]], *, piece: int | None = None) -> object:
        logits = right(self, prompts, piece=piece)
        return logits if len(prompts) == 1 else np.nextafter(logits, np.float32(np.inf))

    monkeypatch.setattr(ModelRunner, "logits", wrong)
    failed = [check.name for check in checks() if check.has_passed is False]

    assert failed == [
        "a prompt alone and in a batch: equal logits",
        "one token alone and five times in a batch: equal logits",
    ]


def test_logits_that_are_no_numbers_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ModelRunner.logits
    monkeypatch.setattr(ModelRunner, "logits", lambda *a, **k: right(*a, **k) * np.float32(np.nan))
    failed = {check.name for check in checks() if check.has_passed is False}

    assert "logits are finite" in failed
    assert "mean logits as published (17 of them)" in failed
    assert "the published answer is the likeliest" in failed


def test_a_wrong_answer_fails() -> None:
    (right,) = [one for one in read_references() if one.name == "tercet-tiny"]
    failed = [c.name for c in checks(answer="Once upon a dog") if c.has_passed is False]

    assert right.answer.startswith("Once upon a time")
    assert failed == ["the published answer is the likeliest"]


def checks(**changes: object) -> list:
    checkpoint = Checkpoint(EMBEDDED_MODEL)
    reference = find_reference(EMBEDDED_MODEL, checkpoint.shape, None)
    assert reference is not None
    tokenizer = Tokenizer.from_folder(EMBEDDED_MODEL)
    changed = replace(reference, **changes)
    return list(verify(checkpoint, tokenizer, changed, num_threads=1))
