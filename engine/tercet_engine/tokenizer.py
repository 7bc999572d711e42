"""Text to token ids and back, over a checkpoint's own `tokenizer.json`.

Two decisions are taken here. The special tokens in a text are cut out by us and not by the library,
so that a caller can say of each stretch of text whether special tokens count in it: that is what
keeps a client from writing an end-of-turn token into a message. And decoding goes by bytes, one
token at a time, so that text can be made incrementally and exactly.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers

from tercet_engine.errors import CheckpointError, UnsupportedModel
from tercet_engine.piece_bytes import piece_bytes, strips_first_space


class Tokenizer:
    """A byte-level or SentencePiece tokenizer.

    Args:
        backend: the library's tokenizer; this object takes it over.

    Raises:
        UnsupportedModel: it is of a kind whose tokens do not stand for fixed bytes.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._piece_bytes = piece_bytes(backend)
        self.strips_first_space = strips_first_space(backend)
        """A space is put before every text that is encoded, and taken off what is decoded."""
        added = backend.get_added_tokens_decoder()
        self._special = {str(t.content): token for token, t in added.items() if t.special}
        self._added = {token: str(t.content).encode() for token, t in added.items()}
        self._special_ids = frozenset(self._special.values())
        self._pattern = _special_pattern(t for t in added.values() if t.special)
        self._bos_tokens = _bos_tokens(backend)
        self._backend = backend
        backend.no_truncation()  # published files often hold leftovers of training
        backend.no_padding()
        backend.encode_special_tokens = True  # from here on, the library sees plain text only

    @classmethod
    def from_folder(cls, folder: Path) -> "Tokenizer":
        """Read `tokenizer.json` of a checkpoint's folder.

        Raises:
            CheckpointError: the file is missing or damaged.
            UnsupportedModel: see the constructor.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            message = f"{path} is missing; the checkpoint has no tokenizer that can be read"
            raise CheckpointError(message)
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            message = f"{path} cannot be read as a tokenizer: {error}"
            raise CheckpointError(message) from error
        return cls(backend)

    @property
    def vocab_size(self) -> int:
        """Token ids are below it."""
        num_own = self._backend.get_vocab_size(with_added_tokens=False)
        return max([num_own, *(token + 1 for token in self._added)])

    def digest(self) -> str:
        """A name for all that the tokenizer does."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    def to_json(self) -> str:
        """The whole tokenizer in the form of a `tokenizer.json`."""
        return self._backend.to_str()

    @property
    def bos_tokens(self) -> tuple[int, ...]:
        """What the tokenizer puts before every text; empty if nothing."""
        return self._bos_tokens

    @property
    def special_tokens(self) -> Iterable[str]:
        """The texts of the special tokens."""
        return self._special.keys()

    def token_id(self, text: str) -> int | None:
        """Find the id of a token by its text."""
        return self._backend.token_to_id(text)

    def encode(self, text: str, *, add_special_tokens: bool = True, mark: str = "") -> list[int]:
        """Turn text into token ids. Special tokens written whole in the text are recognised.

        Args:
            text: what to encode.
            add_special_tokens: put the BOS token before, unless the text begins with it, so that
                there is never one more than was asked for.
            mark: left out of the text once its special tokens are found; put into the text of a
                special token it keeps that from being recognised.
        """
        tokens: list[int] = []
        end = 0
        for match in self._pattern.finditer(text):
            tokens += self._encode_plain(text[end : match.start()].replace(mark, ""))
            tokens.append(self._special[match.group(1)])
            end = match.end()
        tokens += self._encode_plain(text[end:].replace(mark, ""))
        return self.with_bos(tokens) if add_special_tokens else tokens

    def with_bos(self, tokens: list[int]) -> list[int]:
        """Put the BOS token before `tokens` unless it is there."""
        bos = list(self._bos_tokens)
        return tokens if tokens[: len(bos)] == bos else bos + tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Turn token ids into text; special tokens leave nothing, broken UTF-8 becomes U+FFFD.

        The space that a SentencePiece tokenizer puts before a text is taken off again.
        """
        text = b"".join(map(self.token_bytes, tokens)).decode("utf-8", "replace")
        return text.removeprefix(" ") if self.strips_first_space else text

    def token_text(self, token: int) -> str:
        """A token as people write it: special ones by their names, broken UTF-8 as U+FFFD."""
        if token in self._special_ids:
            return self._added[token].decode("utf-8", "replace")
        return self.token_bytes(token).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a special or unknown one."""
        if token in self._special_ids:
            return b""
        if (added := self._added.get(token)) is not None:
            return added
        piece = self._backend.id_to_token(token)
        if piece is None:
            return b""
        return self._piece_bytes(piece)

    def _encode_plain(self, text: str) -> list[int]:
        if not text:
            return []
        try:
            return self._encode_free_of_the_gil(text)
        except (UnicodeEncodeError, TypeError):  # lone surrogates, which JSON can spell
            return self._encode_free_of_the_gil(text.encode("utf-8", "replace").decode())

    def _encode_free_of_the_gil(self, text: str) -> list[int]:
        # `encode` holds the interpreter's lock, for half a second per megabyte; the batch does not.
        return list(self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids)


def _special_pattern(special: Iterable[tokenizers.AddedToken]) -> re.Pattern[str]:
    """Match any special token, the longest first, with the white space that it swallows."""
    alternatives = []
    for token in sorted(special, key=lambda token: -len(token.content)):
        if token.single_word:
            message = f"the special token {token.content} is single_word; that is not supported"
            raise UnsupportedModel(message)
        alternatives.append((token.lstrip, re.escape(token.content), token.rstrip))
    if not alternatives:
        return re.compile(r"(?!)()")
    plain = "|".join(text for _, text, _ in alternatives)
    left = "|".join(text for strips, text, _ in alternatives if strips)
    right = "|".join(text for _, text, strips in alternatives if strips)
    before = rf"(?:\s+(?={left}))?" if left else ""
    after = rf"(?:(?<={')|(?<='.join(right.split('|'))})\s+)?" if right else ""
    return re.compile(f"{before}({plain}){after}")


def _bos_tokens(backend: tokenizers.Tokenizer) -> tuple[int, ...]:
    encoding = backend.encode("a")
    pairs = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
    return tuple(token for token, _ in itertools.takewhile(lambda pair: pair[1], pairs))
