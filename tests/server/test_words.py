"""Values as they may stand in a message."""

import pytest

from tercet_server.words import shown


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ("short", "'short'"),
        ("x" * 61, "61 characters"),
        ([1, 2], "a list of 2"),
        ({"a": 1}, "an object of 1"),
        pytest.param(10**5000, "a very long number", id="5001 digits"),
        (b"x", "a bytes"),
    ],
)
def test_a_value_is_shown_in_few_words(value: object, words: str) -> None:
    assert shown(value) == words
