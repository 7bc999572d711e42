"""The tokens that a GGUF file lists, each with its kind, and which of them play a part.

A file says everything by arrays as long as the vocabulary. Here they are read once and held
against each other; the two tokenizers that can be made of them (`byte_pairs.py`,
`sentence_pieces.py`) need look at no key again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from tercet_engine.errors import CheckpointError
from tercet_engine.gguf.metadata import Metadata

MAX_TOKENS: Final = 1 << 20
MAX_TOKEN_CHARS: Final = 1024
_PREFIX: Final = "tokenizer.ggml"
_PARTS: Final = {
    "bos": ("bos_token_id",),
    "eos": ("eos_token_id",),
    "eot": ("eot_token_id",),
    "eom": ("eom_token_id",),
    "unk": ("unknown_token_id",),
    "sep": ("separator_token_id", "seperator_token_id"),  # files have both spellings
    "pad": ("padding_token_id",),
}
_USUAL_PIECES: Final = {"unk": 0, "bos": 1, "eos": 2}
"""Of SentencePiece; older files leave them out."""

SPACE: Final = "▁"
"""How SentencePiece writes a space."""


class TokenKind(IntEnum):
    """The numbers of `tokenizer.ggml.token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


_SPECIAL: Final = frozenset({int(TokenKind.UNKNOWN), int(TokenKind.CONTROL)})
_ADDED: Final = _SPECIAL | {int(TokenKind.USER_DEFINED)}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every token by its id.

    Attributes:
        source: the file, for messages.
        texts: of the tokens, no two equal.
        kinds: of the tokens, as many.
        parts: ids of the tokens that play a part: "bos", "eos", "eot", "eom", "unk", "sep", "pad".
    """

    source: str
    texts: Sequence[str]
    kinds: Sequence[int]
    parts: Mapping[str, int]

    def is_special(self, token: int) -> bool:
        """Whether a token is never text."""
        return self.kinds[token] in _SPECIAL

    def is_added(self, token: int) -> bool:
        """Whether a token is found in a text before the text is cut."""
        return self.kinds[token] in _ADDED

    def num_in_model(self) -> int:
        """Tokens that the model of merges must list.

        Ids have no gaps there. So it lists all up to the last that is not added, and the added ones
        after it come by themselves, as in a published `tokenizer.json`. Unused ones at the very
        end, with which vocabularies are filled up, are left out.
        """
        count = self.num_used()
        while count and self.is_added(count - 1):
            count -= 1
        return count

    def num_used(self) -> int:
        """Tokens up to the last that is used."""
        count = len(self.texts)
        while count and self.kinds[count - 1] == TokenKind.UNUSED:
            count -= 1
        return count


def read_vocabulary(metadata: Metadata, *, is_sentence_piece: bool) -> Vocabulary:
    """Read the tokens.

    Raises:
        CheckpointError: the file lists none, or contradicts itself.
    """
    tokens = metadata.strings(f"{_PREFIX}.tokens")
    if tokens is None or not 0 < len(tokens) <= MAX_TOKENS:
        raise metadata.error(f"{_PREFIX}.tokens", f"an array of 1 to {MAX_TOKENS} strings")
    texts = tokens.decode()
    kinds = _kinds(metadata, len(texts))
    for token, text in enumerate(texts):
        if not text:  # a hole in the vocabulary
            texts[token], kinds[token] = f"<unused {token}>", TokenKind.UNUSED
        elif len(text) > MAX_TOKEN_CHARS:
            message = (
                f"{metadata.name}: token {token} has {len(text)} characters; at most "
                f"{MAX_TOKEN_CHARS} are read"
            )
            raise CheckpointError(message)
        elif is_sentence_piece and kinds[token] == TokenKind.USER_DEFINED:
            texts[token] = text.replace(SPACE, " ")  # these are found in the text as it is written
    _refuse_equal(texts, metadata.name)
    parts = _parts(metadata, len(texts), kinds if is_sentence_piece else [])
    for part in ("bos", "eos", "eot", "eom"):
        if part in parts:  # what begins or ends is no text, whatever its kind says
            kinds[parts[part]] = TokenKind.CONTROL
    return Vocabulary(metadata.name, texts, kinds, parts)


def _kinds(metadata: Metadata, count: int) -> list[int]:
    key = f"{_PREFIX}.token_type"
    found = metadata.numbers(key, count)
    if found is None:
        return [TokenKind.NORMAL] * count
    kinds = [int(kind) for kind in found.tolist()] if found.dtype.kind in "iu" else [0]
    if not set(kinds) <= set(TokenKind):
        raise metadata.error(key, f"an array of kinds from {min(TokenKind)} to {max(TokenKind)}")
    return kinds


def _refuse_equal(texts: Sequence[str], source: str) -> None:
    seen = {text: token for token, text in enumerate(texts)}
    if len(seen) == len(texts):
        return
    token = next(token for token, text in enumerate(texts) if seen[text] != token)
    message = f"{source}: tokens {token} and {seen[texts[token]]} have the same text"
    raise CheckpointError(message)


def _parts(metadata: Metadata, count: int, kinds: Sequence[int]) -> dict[str, int]:
    parts = {
        part: metadata.integer(f"{_PREFIX}.{key}", 0, count - 1)
        for part, keys in _PARTS.items()
        for key in keys
        if f"{_PREFIX}.{key}" in metadata.values
    }
    usual = {
        part: token
        for part, token in _USUAL_PIECES.items()
        if token < len(kinds) and kinds[token] in {TokenKind.CONTROL, TokenKind.UNKNOWN}
    }
    return usual | parts
