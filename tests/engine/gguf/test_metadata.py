from typing import Any

import numpy as np
import pytest

from tercet_engine import CheckpointError
from tests.oracle.gguf_models import every_kind, metadata_of


def test_scalars_are_read_with_their_ranges() -> None:
    metadata = metadata_of({"general.architecture": "llama", "n": 30, "eps": 0.5, "bos": True})

    assert metadata.architecture == "llama"
    assert metadata.integer("n", 1, 100) == 30
    assert metadata.number("eps", 0, 1) == 0.5
    assert metadata.flag("bos", default=False) is True
    with pytest.raises(CheckpointError, match=r"^model\.gguf: n must be an integer from 31 to 40"):
        metadata.integer("n", 31, 40)


def test_arrays_are_read_with_their_lengths() -> None:
    metadata = metadata_of({"texts": ["a", "b"], "numbers": [0.5, 1.5]})

    texts = metadata.strings("texts")
    assert texts is not None
    assert list(texts) == ["a", "b"]
    assert texts[-1] == "b"
    np.testing.assert_array_equal(metadata.numbers("numbers", 2), [0.5, 1.5])
    assert metadata.strings("none") is None
    assert metadata.numbers("none", 2) is None


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("u8", "200"),
        ("bool", "true"),
        ("string", '"grün"'),
        ("f32s", "an array of 2 float32"),
        ("nested", "an array of 4 arrays"),
        ("strings", "an array of 2 strings"),
        ("none", "nothing"),
    ],
)
def test_what_a_value_is_instead_is_said(key: str, found: str) -> None:
    error = metadata_of(every_kind()).error(key, "something else")

    assert str(error) == f"model.gguf: {key} must be something else; found {found}"


@pytest.mark.parametrize("key", ["u8", "string", "f32s", "nested"])
def test_other_values_are_no_array_of_strings(key: str) -> None:
    with pytest.raises(CheckpointError, match="must be an array of strings"):
        metadata_of(every_kind()).strings(key)


@pytest.mark.parametrize(("key", "count"), [("u8", 2), ("strings", 2), ("f32s", 3), ("bools", 2)])
def test_other_values_are_no_array_of_numbers(key: str, count: int) -> None:
    with pytest.raises(CheckpointError, match=f"must be an array of {count} numbers"):
        metadata_of(every_kind()).numbers(key, count)


@pytest.mark.parametrize("value", [float("nan"), "x" * 5000, "\x1b[2J"])
def test_what_is_found_is_told_briefly_and_harmlessly(value: Any) -> None:
    message = str(metadata_of({"k": value}).error("k", "good"))

    assert len(message) < 200
    assert message.isprintable()


def test_a_string_that_is_no_text_is_named_when_it_is_read() -> None:
    strings = metadata_of({"k": ["a", b"\xff"]}).strings("k")
    assert strings is not None

    with pytest.raises(CheckpointError, match=r"model\.gguf: string 1 of k is not UTF-8"):
        strings.decode()
