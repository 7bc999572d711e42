"""Keys are told apart whole, and the time that takes tells nothing."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet_server import key_ring
from tercet_server.key_file import digest_of
from tercet_server.key_ring import KeyRing

KEYS = ("first", "second", "third")
_TEXT = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=12)


@given(keys=st.lists(_TEXT, min_size=1, max_size=4, unique=True), others=st.lists(_TEXT))
def test_a_ring_finds_its_keys_and_no_others(keys: list[str], others: list[str]) -> None:
    ring = KeyRing(keys)
    for text in (*keys, *others, *(key[:-1] for key in keys), *(key + "x" for key in keys)):
        assert (ring.find(text.encode()) is not None) == (text in keys)


def test_keys_whose_digests_begin_alike_are_told_apart() -> None:
    first = digest_of(b"0")[:1]
    alike = next(str(n) for n in range(1, 10**5) if digest_of(str(n).encode())[:1] == first)
    assert KeyRing(["0"]).find(alike.encode()) is None


@pytest.mark.parametrize("given", ["first", "third", "none of them"])
def test_every_key_is_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(key_ring, "hmac", type("Hmac", (), {"compare_digest": compare}))
    found = KeyRing(KEYS).find(given.encode())

    assert (found is not None) == (given in KEYS)
    assert compared == [(digest_of(given.encode()), digest_of(key.encode())) for key in KEYS]
