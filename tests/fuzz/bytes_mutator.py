"""Damage to bytes: flips, lies in numbers, pieces left out, repeated or brought from elsewhere."""

import random
import struct
from collections.abc import Callable
from typing import Final

NUMBERS: Final = (
    *(0, 1, 7, 8, 9, 31, 32, 36, 127, 128, 255, 256, 32_767, 65_535, 65_537, 2**31 - 1, 2**31),
    *(2**32 - 1, 2**32, 2**53 + 1, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 33, 2**64 - 1),
)


def damage(data: bytes, rng: random.Random) -> bytes:
    """Damage bytes one to three times."""
    content = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        rng.choice(_DAMAGES)(content, rng)
    return bytes(content)


def _flip(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 1, 8, 64))):
        if content:
            content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _overwrite(content: bytearray, rng: random.Random) -> None:
    number = rng.choice(NUMBERS)
    form = "<Q" if number >= 2**32 or rng.random() < 0.5 else "<I"
    place = _place(content, rng)
    content[place : place + struct.calcsize(form)] = struct.pack(form, number)


def _truncate(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content) + 1) :]


def _extend(content: bytearray, rng: random.Random) -> None:
    content += rng.randbytes(rng.choice((1, 31, 32, 33, 500)))


def _remove(content: bytearray, rng: random.Random) -> None:
    place = _place(content, rng)
    del content[place : place + rng.choice((1, 4, 8, 40, 200))]


def _repeat(content: bytearray, rng: random.Random) -> None:
    place, size = _place(content, rng), rng.choice((1, 4, 8, 40, 200))
    content[place:place] = content[place : place + size] * rng.choice((1, 1, 2, 50))


def _splice(content: bytearray, rng: random.Random) -> None:
    size = rng.choice((1, 4, 8, 16, 40))
    one, other = _place(content, rng), _place(content, rng)
    content[one : one + size] = content[other : other + size]


def _replace_text(content: bytearray, rng: random.Random) -> None:
    place = _place(content, rng)
    content[place : place + rng.choice((0, 1, 4))] = rng.choice(_BYTES)


def _place(content: bytearray, rng: random.Random) -> int:
    """A byte, often among the first."""
    limit = rng.choice((24, len(content), len(content)))
    return rng.randrange(max(1, min(limit, len(content))))


_BYTES: Final = (
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b"{", b"[", b"[" * 2000, b"]", b"}"),
    *(b"1e999", b"-0", b"9" * 5000, b"NaN", b"-Infinity", b"\\ud800", b"\\u0000", b",", b":"),
)
_DAMAGES: Final[tuple[Callable[[bytearray, random.Random], None], ...]] = (
    *(_flip, _flip, _overwrite, _overwrite, _truncate, _extend),
    *(_remove, _repeat, _splice, _replace_text),
)
