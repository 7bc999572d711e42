"""A byte-level tokenizer (`tokenizer.ggml.model` "gpt2") in the form of a `tokenizer.json`."""

from collections.abc import Iterable
from typing import Any, Final

from tercet_engine.errors import CheckpointError
from tercet_engine.gguf.cursor import shown
from tercet_engine.gguf.metadata import Metadata
from tercet_engine.gguf.pre_tokenizers import PreTokenizer
from tercet_engine.gguf.vocabulary import Vocabulary

MAX_MERGES: Final = 1 << 22
_MERGES: Final = "tokenizer.ggml.merges"


def byte_pairs_json(
    vocabulary: Vocabulary, metadata: Metadata, pre_tokenizer: PreTokenizer
) -> dict[str, Any]:
    """Describe the tokenizer, but for its added tokens and what it puts around a text.

    Raises:
        CheckpointError: the merges are missing or do not fit the tokens.
    """
    found = metadata.strings(_MERGES)
    if found is None or len(found) > MAX_MERGES:
        raise metadata.error(_MERGES, f"an array of at most {MAX_MERGES} strings")
    texts = vocabulary.texts[: vocabulary.num_in_model()]
    return {
        "normalizer": {"type": "NFC"} if pre_tokenizer.composes else None,
        "pre_tokenizer": pre_tokenizer.as_json(),
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre_tokenizer.looks_up_pieces,
            "vocab": {text: token for token, text in enumerate(texts)},
            "merges": _merges(found.decode(), vocabulary),
        },
    }


def _merges(lines: Iterable[str], vocabulary: Vocabulary) -> list[tuple[str, str]]:
    """Split each line at the space between its halves; all three must be tokens of text.

    A merge with an added token is left out: those are found before merging, and what a client
    writes must not become one of them by another way.
    """
    ids = {text: token for token, text in enumerate(vocabulary.texts)}
    num_in_model = vocabulary.num_in_model()
    is_text = [not vocabulary.is_added(token) for token in range(num_in_model)]
    is_text += [False] * (len(ids) - num_in_model)
    merges = []
    for number, line in enumerate(lines):
        left, _, right = line[1:].partition(" ")  # the first character may be a space itself
        left = line[:1] + left
        merged = ids.get(left + right)
        if not right or merged is None or left not in ids or right not in ids:
            message = (
                f"{vocabulary.source}: merge {number} of {_MERGES} is {shown(line)}; it must be "
                "two tokens with a space between that are a token together"
            )
            raise CheckpointError(message)
        if is_text[merged] and is_text[ids[left]] and is_text[ids[right]]:
            merges.append((left, right))
    return merges
