"""Whatever goes wrong is one sentence on stderr that says what to do, and an exit code."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome

Tercet = Callable[..., Outcome]


def assert_is_one_sentence(outcome: Outcome, *words: str) -> None:
    (line,) = outcome.err.splitlines()
    assert line.startswith("tercet: ")
    assert "Traceback" not in line
    for word in words:
        assert word in line
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], ["nope", "tercet --help"]),
        (["--nope"], ["--nope", "tercet --help"]),
        (["serve", "--nope"], ["--nope", "tercet serve --help"]),
        (["serve", "a", "b"], ["a is neither a folder nor a name"]),
        (["serve", "tercet-tiny", "tercet-tiny"], ["two models are called tercet-tiny"]),
        (["serve", "--alias", "a"], ["--alias", "NAME=MODEL", "'a'"]),
        (["serve", "--alias", "a=b"], ["alias a=b", "no model is called b", "tercet-tiny"]),
        (
            ["serve", "a=tercet-tiny", "--served-model-name", "b"],
            ["--served-model-name", "--alias"],
        ),
        (
            ["serve", "a=tercet-tiny", "b=tercet-tiny", "--context", "4096"],
            ["a: --context is 4096", "2048"],
        ),
        (
            ["serve", "a=tercet-tiny", "b=tercet-tiny", "--kv-cache-bytes", "1KiB"],
            ["a: a KV cache of 1024 bytes", "--kv-cache-bytes"],
        ),
        (["serve", "--port"], ["--port"]),
        (["serve", "--port", "abc"], ["--port", "whole number", "'abc'"]),
        (["serve", "--port", "70000"], ["--port", "65535", "70000"]),
        (["serve", "--threads", "0"], ["--threads", "at least 1", "0"]),
        (["serve", "--head", "int4"], ["--head", "int8", "bf16", "int4"]),
        (["serve", "--max-sequences", "600"], ["--max-sequences", "--batch-tokens", "512", "600"]),
        (["serve", "--max-body-bytes", "1"], ["--max-body-bytes", "1024"]),
        (["serve", "--log-format", "xml"], ["--log-format", "text", "json", "xml"]),
        (["bench", "--threads", "0"], ["--threads", "1 to 1024", "'0'", "TERCET_THREADS"]),
        (["bench", "--repeat", "x"], ["--repeat", "whole number", "'x'"]),
        (["bench", "--head", "int4"], ["--head", "int8 or bf16", "'int4'"]),
        (["bench", "--kv-type", "int4"], ["--kv-type", "bf16, f32 or int8", "'int4'"]),
        (["serve", "--kv-type", "int4"], ["--kv-type", "bf16", "f32", "int8", "int4"]),
        (["bench", "--streams", "4,x"], ["--streams", "1 to 512", "4,x"]),
        (["bench", "--streams", "0"], ["--streams", "'0'"]),
        (["bench", "--synthetic", "9t"], ["9t", "2b4t"]),
        (["bench", "model", "--synthetic", "2b4t"], ["not both"]),
        (["bench", "--prompt-tokens", "9000"], ["9000", "2048", "--context"]),
        (["bench", "--context", "4096"], ["--context", "4096", "2048"]),
        (["chat", "--temperature", "3"], ["--temperature", "0 to 2", "'3'"]),
        (["chat", "--top-p", "nan"], ["--top-p", "'nan'"]),
        (["chat", "--url", "http://127.0.0.1:1", "model"], ["not both"]),
    ],
)
def test_a_wrong_command_line_is_told_in_one_sentence(
    tercet: Tercet, arguments: list[str], words: list[str]
) -> None:
    outcome = tercet(*arguments)

    assert outcome.exit_code == 2
    assert_is_one_sentence(outcome, *words)


def test_a_wrong_variable_is_named(tercet: Tercet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERCET_CONTEXT", "long")

    assert_is_one_sentence(tercet("serve"), "TERCET_CONTEXT", "whole number", "'long'")
    assert_is_one_sentence(tercet("bench"), "TERCET_CONTEXT", "whole number", "'long'")


@pytest.mark.parametrize("command", ["serve", "bench"])
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["/no/such/folder"], ["/no/such/folder", "org/name"]),
        (["--kernels", "abacus"], ["abacus", "reference"]),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_sentence(
    tercet: Tercet, command: str, flags: list[str], words: list[str]
) -> None:
    port = ["--port", "0", "--log-level", "error"] if command == "serve" else ["--json"]

    outcome = tercet(command, *flags, *port)

    assert outcome.exit_code == 2
    assert_is_one_sentence(outcome, *words)


def test_a_hub_that_cannot_be_reached_is_told_with_the_way_around_it(
    tercet: Tercet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    outcome = tercet("bench", "tercet-tests/no-such-model", "--json")

    assert outcome.exit_code == 2
    assert_is_one_sentence(outcome, "tercet-tests/no-such-model", "network", "hf download")


def test_too_little_memory_is_told_with_the_sum(tercet: Tercet) -> None:
    outcome = tercet("serve", "--kv-cache-bytes", "900TiB", "--port", "0", "--log-level", "error")

    assert outcome.exit_code == 1
    assert_is_one_sentence(outcome, "KV cache", "weights", "--kv-cache-bytes")


def test_a_kv_cache_that_is_too_small_names_the_flags(tercet: Tercet) -> None:
    outcome = tercet("serve", "--kv-cache-bytes", "1000", "--port", "0", "--log-level", "error")

    assert_is_one_sentence(outcome, "--kv-cache-bytes", "--context", "1000")


def test_a_folder_that_holds_no_model_says_which_file_it_lacks(
    tercet: Tercet, tmp_path: Path
) -> None:
    outcome = tercet("bench", str(tmp_path), "--json")

    assert outcome.exit_code == 2
    assert_is_one_sentence(outcome, "config.json")


def test_a_port_in_use_is_told_with_the_flag_to_choose_another(tercet: Tercet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = tercet("serve", "--port", str(port), "--log-level", "error")

    assert outcome.exit_code == 1
    assert_is_one_sentence(outcome, f"port {port}", "in use", "--port")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_host_is_told_with_the_usual_ones(tercet: Tercet, host: str) -> None:
    outcome = tercet("serve", "--host", host, "--log-level", "error")

    assert outcome.exit_code == 2
    assert_is_one_sentence(outcome, host, "--host", "127.0.0.1")


def test_an_unexpected_error_is_named_with_the_way_to_its_traceback(
    tercet: Tercet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet_server.cli.bench.load_subject", _break)

    outcome = tercet("bench", "--json")

    assert outcome.exit_code == 1
    assert_is_one_sentence(outcome, "ZeroDivisionError", "TERCET_DEBUG=1")


def test_the_debug_variable_lets_the_traceback_through(
    tercet: Tercet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet_server.cli.bench.load_subject", _break)
    monkeypatch.setenv("TERCET_DEBUG", "1")

    with pytest.raises(ZeroDivisionError):
        tercet("bench", "--json")


def _break(*_: object) -> None:
    message = "of no use"
    raise ZeroDivisionError(message)
