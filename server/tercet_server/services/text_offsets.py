"""Where each token begins in the text that a client gets."""

import codecs
from collections.abc import Iterable

from tercet_engine import Tokenizer


class TextOffsets:
    """Counts the characters of one text before each of its tokens.

    A token without text, such as a special one, begins where the next one does; so do the tokens
    that share a character.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._num_chars = 0

    def push(self, tokens: Iterable[int]) -> list[int]:
        """Add tokens; return where they begin."""
        return [self._push(token) for token in tokens]

    def break_off(self) -> None:
        """What comes next is decoded on its own; an incomplete character has become U+FFFD."""
        self._num_chars += len(self._utf8.decode(b"", final=True))

    def _push(self, token: int) -> int:
        offset = self._num_chars
        self._num_chars += len(self._utf8.decode(self._tokenizer.token_bytes(token)))
        return offset
