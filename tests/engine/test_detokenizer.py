import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet_engine.detokenizer import Detokenizer, StopStrings


class Pieces:
    """Token i stands for the i-th of some byte strings."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    def token_bytes(self, token: int) -> bytes:
        return self.pieces[token]


def stream(detokenizer: Detokenizer, num_tokens: int) -> list[str]:
    """The text let out by each token, and by the end, until a stop string ends it."""
    texts = []
    for token in range(num_tokens):
        texts.append(detokenizer.push(token))
        if detokenizer.is_stopped:
            return texts
    return [*texts, detokenizer.finish()]


def texts_of(*pieces: str | bytes, **options: object) -> list[str]:
    whole = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    return stream(Detokenizer(Pieces(*whole), **options), len(whole))


def test_complete_text_is_let_out_at_once() -> None:
    assert texts_of("Hello", " world") == ["Hello", " world", ""]


def test_a_character_cut_in_two_is_held_until_it_is_whole() -> None:
    first, second = "é".encode()[:1], "é".encode()[1:]

    assert texts_of("a", first, second) == ["a", "", "é", ""]


def test_an_emoji_in_four_tokens_comes_out_with_the_last() -> None:
    assert texts_of(*(bytes([byte]) for byte in "🐕".encode())) == ["", "", "", "🐕", ""]


def test_a_character_never_finished_becomes_a_replacement_at_the_end() -> None:
    assert texts_of("a", "é".encode()[:1]) == ["a", "", "\ufffd"]


def test_a_broken_character_is_replaced_when_the_next_token_shows_it() -> None:
    assert texts_of("é".encode()[:1], "a") == ["", "\ufffda", ""]


def test_a_stop_string_ends_the_text_and_is_no_part_of_it() -> None:
    assert texts_of("one", " END", " two", stop=[" END"]) == ["one", ""]


def test_a_stop_string_across_tokens_does_not_leak_its_beginning() -> None:
    assert texts_of("one E", "N", "D two", stop=["END"]) == ["one ", "", ""]


def test_what_could_have_been_a_stop_string_is_let_out_when_it_is_none() -> None:
    assert texts_of("one E", "N", "T", stop=["END"]) == ["one ", "", "ENT", ""]


def test_what_could_have_been_a_stop_string_is_let_out_at_the_end() -> None:
    assert texts_of("one EN", stop=["END"]) == ["one ", "EN"]


def test_a_stop_string_that_overlaps_its_own_beginning_is_found() -> None:
    assert texts_of("aa", "ab", stop=["aab"]) == ["", "a"]


def test_the_stop_string_complete_first_counts() -> None:
    assert texts_of("abcd", stop=["abcd", "bc"]) == ["a"]


def test_of_two_stop_strings_complete_together_the_longer_counts() -> None:
    assert texts_of("abc", stop=["bc", "abc"]) == [""]


def test_stop_strings_before_min_tokens_are_passed_over() -> None:
    assert texts_of("END", "END", stop=["END"], min_tokens=2) == ["END", ""]


def test_a_stop_string_that_ends_with_min_tokens_counts_from_its_beginning() -> None:
    assert texts_of("E", "ND", stop=["END"], min_tokens=2) == ["", ""]


def test_one_leading_space_is_dropped_on_request() -> None:
    assert texts_of(" ", " Hello", strip_leading_space=True) == ["", " Hello", ""]
    assert texts_of("", " Hello", strip_leading_space=True) == ["", "Hello", ""]
    assert texts_of("Hello", " you", strip_leading_space=True) == ["Hello", " you", ""]


def test_nothing_comes_out_after_a_stop_string() -> None:
    detokenizer = Detokenizer(Pieces(b"aEND b"), stop=["END"])
    detokenizer.push(0)

    assert detokenizer.finish() == ""


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def reference(text: str, stops: list[str]) -> str:
    """The definition: end at the shortest beginning of the text that ends in a stop string."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))]
    return text


@given(st.binary(max_size=40), st.lists(st.integers(0, 40)))
def test_text_is_the_same_however_its_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    assert "".join(texts_of(*pieces_of(data, cuts))) == data.decode("utf-8", "replace")


@given(
    st.text("abé🐕", max_size=30),
    st.lists(st.text("abé🐕", min_size=1, max_size=4), max_size=4),
    st.lists(st.integers(0, 90)),
)
def test_stop_strings_end_the_same_text_however_it_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    pieces = pieces_of(text.encode(), cuts)

    assert "".join(texts_of(*pieces, stop=stops)) == reference(text, stops)


@given(
    st.text("abé", max_size=30),
    st.lists(st.text("abé", min_size=1, max_size=4), min_size=1, max_size=4),
    st.lists(st.integers(0, 60)),
    st.integers(0, 8),
    st.booleans(),
)
def test_only_stop_strings_that_end_late_enough_count(
    text: str, stops: list[str], cuts: list[int], min_tokens: int, include: bool
) -> None:
    pieces = pieces_of(text.encode(), cuts)
    num_bytes_before = sum(map(len, pieces[: max(min_tokens - 1, 0)]))

    wanted = text
    for end in range(1, len(text) + 1):
        if len(text[:end].encode()) <= num_bytes_before:
            continue  # an earlier token completes this character
        if found := [stop for stop in stops if text[:end].endswith(stop)]:
            wanted = text[:end] if include else text[: end - max(map(len, found))]
            break
    options = {"stop": stops, "min_tokens": min_tokens, "include_stop": include}
    assert "".join(texts_of(*pieces, **options)) == wanted


@given(st.text(" aé", max_size=12), st.lists(st.integers(0, 30)))
def test_one_leading_space_is_dropped_however_the_text_is_cut(text: str, cuts: list[int]) -> None:
    pieces = pieces_of(text.encode(), cuts)
    assert "".join(texts_of(*pieces, strip_leading_space=True)) == text.removeprefix(" ")


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1))
def test_no_more_is_held_back_than_the_longest_stop_string_needs(
    text: str, stops: list[str]
) -> None:
    watcher = StopStrings(stops)
    shown = 0
    for count, char in enumerate(text, start=1):
        safe, is_stopped = watcher.push(char)
        shown += len(safe)
        if is_stopped:
            break
        assert count - shown < max(map(len, stops))


@pytest.mark.parametrize("stops", [[], ["\n\n"]])
def test_text_without_stop_strings_is_not_delayed(stops: list[str]) -> None:
    assert texts_of("a", "b", "c", stop=stops) == ["a", "b", "c", ""]


def test_a_special_token_that_is_shown_counts_as_text() -> None:
    shown = Detokenizer(Pieces(b"a", b"", b"b"), shown={1: "<mark>"})
    assert stream(shown, 3) == ["a", "<mark>", "b", ""]
