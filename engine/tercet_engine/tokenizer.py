"""Text to token ids and back, over a checkpoint's own `tokenizer.json`.

Two decisions are taken here. The special tokens in a text are cut out by us and not by the library,
so that a caller can say of each stretch of text whether special tokens count in it: that is what
keeps a client from writing an end-of-turn token into a message. And decoding goes by bytes, one
token at a time, so that text can be made incrementally and exactly.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import tokenizers

from tercet_engine.errors import CheckpointError, UnsupportedModel
from tercet_engine.piece_bytes import piece_bytes, strips_first_space

_TRIAL: Final = "a 1\n\0\u00e9\U0010fffd"
"""Hardly any vocabulary holds its last character, so it shows whether unknown ones can be read."""
MAX_TOKENS: Final = 1 << 21
"""As in a config's vocab_size; the library takes memory for every id up to the largest."""
_PANIC: Final = "PanicException"


class Tokenizer:
    """A byte-level or SentencePiece tokenizer.

    Args:
        backend: the library's tokenizer; this object takes it over.

    Raises:
        CheckpointError: it cannot read texts.
        UnsupportedModel: it is of a kind whose tokens do not stand for fixed bytes.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._piece_bytes = piece_bytes(backend)
        self.strips_first_space = strips_first_space(backend)
        """A space is put before every text that is encoded, and taken off what is decoded."""
        added = {
            t: token for t, token in backend.get_added_tokens_decoder().items() if token.content
        }
        self._special = {str(t.content): token for token, t in added.items() if t.special}
        self._added = {token: str(t.content).encode() for token, t in added.items()}
        self._special_ids = frozenset(self._special.values())
        self._pattern = _special_pattern(t for t in added.values() if t.special)
        self._backend = backend
        with library_errors("the tokenizer does not work"):
            self._bos_tokens = _bos_tokens(backend)
            backend.no_truncation()  # published files often hold leftovers of training
            backend.no_padding()
            backend.encode_special_tokens = True  # from here on, the library sees plain text only
            self._num_ids = _num_ids(backend, self._added)
            _check_bos(self._bos_tokens, self._num_ids)
            self._encode_free_of_the_gil(_TRIAL)
            self.to_json()

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
        with library_errors(f"{path} cannot be read as a tokenizer"):
            return cls(tokenizers.Tokenizer.from_file(str(path)))

    @property
    def vocab_size(self) -> int:
        """Token ids are below it."""
        return self._num_ids

    @property
    def kind(self) -> str:
        """How it finds tokens: "BPE", "Unigram" or another."""
        return type(self._backend.model).__name__

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

    @property
    def added_tokens(self) -> Mapping[str, bool]:
        """The texts of the tokens beside the vocabulary, and whether they are special."""
        return {text.decode(): token in self._special_ids for token, text in self._added.items()}

    def token_id(self, text: str) -> int | None:
        """Find the id of a token by its text."""
        try:
            return self._backend.token_to_id(text)
        except UnicodeEncodeError:  # a lone surrogate, which is in no token
            return None

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


@contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Turn whatever the library raises into words. It raises bare `Exception`, and panics."""
    try:
        yield
    except (CheckpointError, UnsupportedModel):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        message = f"{what}: {error}"
        raise CheckpointError(message) from error


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
    right = "|".join(f"(?<={text})" for _, text, strips in alternatives if strips)
    before = rf"(?:\s+(?={left}))?" if left else ""
    after = rf"(?:(?:{right})\s+)?" if right else ""
    return re.compile(f"{before}({plain}){after}")


def _num_ids(backend: tokenizers.Tokenizer, added: Iterable[int]) -> int:
    """One more than the largest id; ids need not follow each other."""
    largest = max(itertools.chain(backend.get_vocab().values(), added), default=-1)
    if largest < 0:
        message = "the tokenizer has no tokens"
        raise CheckpointError(message)
    if largest >= MAX_TOKENS:
        message = f"the tokenizer has a token of id {largest}; ids may be up to {MAX_TOKENS - 1}"
        raise CheckpointError(message)
    if getattr(backend.model, "dropout", None):
        message = "the tokenizer leaves out merges by chance (dropout); that is not supported"
        raise UnsupportedModel(message)
    return largest + 1


def _check_bos(bos: Iterable[int], num_ids: int) -> None:
    if unknown := [token for token in bos if token >= num_ids]:
        message = f"the tokenizer puts the token {unknown[0]} before texts, which it does not have"
        raise CheckpointError(message)


def _bos_tokens(backend: tokenizers.Tokenizer) -> tuple[int, ...]:
    encoding = backend.encode("a")
    pairs = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
    return tuple(token for token, _ in itertools.takewhile(lambda pair: pair[1], pairs))
