"""Folders and files of models that are damaged, or may not be read: one sentence, and no server."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tercet_engine import EMBEDDED_MODEL
from tercet_engine.errors import CheckpointError, LoadError
from tercet_engine.opened_model import open_model
from tests.cli.conftest import CLEAN_ENVIRONMENT, Outcome
from tests.cli.test_failures import assert_is_one_sentence
from tests.oracle.embedded_gguf import write_embedded

Tercet = Callable[..., Outcome]

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the embedded model, to be damaged."""
    path = tmp_path / "model"
    shutil.copytree(EMBEDDED_MODEL, path)
    return path


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


def make_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def make_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("/no/such/blob")


def make_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_list(path: Path) -> None:
    path.write_text("[1, 2]")


def make_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe nothing of the kind")


DAMAGES = [make_empty, make_folder, make_link_to_nothing, make_circle, make_pipe, make_text]


def assert_is_refused(outcome: Outcome, *words: str) -> None:
    assert outcome.exit_code in {1, 2}
    last = outcome.err.splitlines()[-1]
    assert last.startswith("tercet: ")
    assert "unexpected" not in last
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in last


@pytest.mark.parametrize("name", [*FILES, WEIGHTS])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(
    tercet: Tercet, folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    is_optional = name in {"tokenizer_config.json", "generation_config.json"}
    is_absent = damage in {make_link_to_nothing, make_circle}
    if is_optional and (is_absent or damage is make_pipe):
        pytest.skip("what need not be there is not missed")
    damage(folder / name)
    assert_is_refused(tercet("serve", str(folder), "--port", "0", "--log-level", "error"), name)


@pytest.mark.parametrize("name", FILES)
def test_a_list_where_an_object_belongs_is_refused(tercet: Tercet, folder: Path, name: str) -> None:
    make_list(folder / name)
    assert_is_refused(tercet("serve", str(folder), "--port", "0", "--log-level", "error"), name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", "256"),
        ("hidden_size", -1),
        ("hidden_size", 1e30),
        ("num_hidden_layers", 2**62),
        ("vocab_size", None),
        ("architectures", 7),
        ("rms_norm_eps", [0]),
        ("rope_theta", "nan"),
    ],
)
def test_a_value_of_a_wrong_kind_is_named_with_what_it_should_be(
    tercet: Tercet, folder: Path, key: str, value: object
) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert_is_refused(tercet("inspect", str(folder), "--json"), key)


def test_a_template_that_is_a_folder_is_named(tercet: Tercet, folder: Path) -> None:
    make_folder(folder / "chat_template.jinja")
    outcome = tercet("serve", str(folder), "--port", "0", "--log-level", "error")
    assert_is_one_sentence(outcome, "chat_template.jinja", "directory")


def test_weights_are_refused_wherever_they_were_cut(folder: Path) -> None:
    path = folder / WEIGHTS
    whole = path.stat().st_size
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    cuts = [0, 1, 7, 8, 9, header - 1, header, header + 1, whole // 2, whole - 64, whole - 1]
    for size in sorted(cuts, reverse=True):
        os.truncate(path, size)
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            open_model(folder)


def test_a_gguf_file_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    path = write_embedded(tmp_path / "model.gguf")
    whole = path.stat().st_size
    cuts = {0, 1, 3, 4, 5, 8, 16, 23, 24, 25, 100, whole // 2, whole - 33, whole - 1}
    for size in sorted(cuts | set(range(30, whole, whole // 40)), reverse=True):
        os.truncate(path, size)
        with pytest.raises(LoadError, match=r"model\.gguf"):
            open_model(path)


def test_weights_that_another_download_left_half_are_refused(folder: Path, tercet: Tercet) -> None:
    (folder / WEIGHTS).rename(folder / f"{WEIGHTS}.incomplete")
    outcome = tercet("serve", str(folder), "--port", "0", "--log-level", "error")
    assert_is_one_sentence(outcome, "neither model.safetensors nor")


WITHOUT_RIGHTS = """
import ctypes, json, os, sys
from tercet_server.cli import main

if os.geteuid() == 0:  # root without its powers is somebody whom permissions bind
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    assert libc.capset(header, nothing) == 0
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as ended:
        print(f"status {ended.code}", file=sys.stderr, flush=True)
"""


def told_without_rights(*commands: list[str]) -> list[tuple[str, str]]:
    """Sentence and status of each command, run by somebody who may not read everything."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHTS, json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=100,
        env=CLEAN_ENVIRONMENT,
        check=False,
    )
    lines = done.stderr.splitlines()
    return list(zip(lines[::2], lines[1::2], strict=True))


def test_what_may_not_be_read_is_named_with_the_reason(folder: Path, tmp_path: Path) -> None:
    names = [*FILES, WEIGHTS]
    copies = [tmp_path / str(number) for number in range(len(names))]
    for copy, name in zip(copies, names, strict=True):
        shutil.copytree(folder, copy)
        (copy / name).chmod(0)
    config = tmp_path / "tercet.toml"
    config.write_text("port = 0\n")
    config.chmod(0)
    keys = tmp_path / "keys"
    keys.write_text("key\n")
    keys.chmod(0)
    folder.chmod(0)
    rest = ["--port", "0", "--log-level", "error"]
    try:
        told = told_without_rights(
            *(["serve", str(copy), *rest] for copy in copies),
            ["serve", str(folder), *rest],
            ["inspect", str(folder)],
            ["serve", "--config", str(config)],
            ["serve", "--api-key-file", str(keys)],
            ["serve", "--api-keys-file", str(keys)],
            ["serve", "--port", "80", "--log-level", "error"],
        )
    finally:
        folder.chmod(0o755)

    for (sentence, _), copy, name in zip(told, copies, names, strict=False):
        assert sentence.startswith(f"tercet: {copy / name} cannot be read")
    for sentence, _ in told[:-1]:
        assert "ermission denied" in sentence
    statuses = [int(status.removeprefix("status ")) for _, status in told]
    assert statuses == [*[1] * 5, 2, 1, 2, 2, 2, 1]  # of a file, of what the command names
    assert "/model cannot be read: Permission denied; check the path" in told[5][0]
    assert "127.0.0.1:80 may not be listened on" in told[-1][0]
