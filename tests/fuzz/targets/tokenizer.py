"""`tokenizer.json`: what is accepted encodes and decodes any text without a word of complaint."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from tercet_engine import CheckpointError, Tokenizer, UnsupportedModel
from tests.fuzz.json_mutator import json_mutator
from tests.fuzz.refusals import refused
from tests.fuzz.target import Target
from tests.fuzz.targets.safetensors import temporary_folder

_TEXTS: Final = ("ab a<s></s> \n12 é", "<0x41> ▁a", "\ud800\0", "", " ")
_WORDS: Final = (
    *("added_tokens", "id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"),
    *(
        "normalizer",
        "pre_tokenizer",
        "post_processor",
        "decoder",
        "model",
        "type",
        "vocab",
        "merges",
    ),
    *("truncation", "padding", "unk_token", "unk_id", "byte_fallback", "ignore_merges", "dropout"),
    *(
        "fuse_unk",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "add_prefix_space",
        "decoders",
    ),
    *("pattern", "String", "Regex", "behavior", "trim_offsets", "use_regex", "single", "pair"),
    *("special_tokens", "ids", "tokens", "prepend_scheme", "replacement", "split", "max_length"),
    *("direction", "strategy", "stride", "prepend", "normalizers", "pretokenizers", "processors"),
)
_VALUES: Final = (
    *("BPE", "Unigram", "WordPiece", "WordLevel", "ByteLevel", "ByteFallback", "Fuse", "Strip"),
    *("Replace", "Sequence", "Metaspace", "Split", "NFC", "NFKC", "Prepend", "TemplateProcessing"),
    *("Isolated", "Removed", "a", "b", "ab", "▁", "Ġ", "<s>", "<0x41>", r"\s+", r"\p{L}+", "a b"),
    *(
        {"String": "a"},
        {"Regex": r"\w+|\s"},
        ["a", "b"],
        {"type": "Fuse"},
        {"type": "NFC"},
        [0, -1.5],
    ),
)


def seeds() -> Sequence[bytes]:
    """A byte-level tokenizer, a SentencePiece one of pairs and one of scores."""
    byte_level = tokenizers.Tokenizer(
        models.BPE({"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ċ": 4}, [("a", "b")])
    )
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    pieces = [("<unk>", 0.0), ("▁", -1.0), ("a", -2.0), ("▁a", -1.5), ("<0x41>", -9.0)]
    pairs = models.BPE({p: i for i, (p, _) in enumerate(pieces)}, [("▁", "a")], byte_fallback=True)
    found = [byte_level]
    for model in (pairs, models.Unigram(pieces, 0, byte_fallback=True)):
        pieced = tokenizers.Tokenizer(model)
        pieced.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        steps: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        pieced.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)])
        found.append(pieced)
    for backend in found:
        backend.add_special_tokens([tokenizers.AddedToken("<s>", rstrip=True), "</s>"])
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
        )
    return [json.dumps(json.loads(backend.to_str())).encode() for backend in found]


def open_target() -> Callable[[bytes], str]:
    """Each input is a `tokenizer.json`."""
    folder = temporary_folder()
    path = folder / "tokenizer.json"

    def run(data: bytes) -> str:
        path.write_bytes(data)
        try:
            tokenizer = Tokenizer.from_folder(folder)
        except (CheckpointError, UnsupportedModel) as error:
            return refused(error)
        use(tokenizer)
        return "read"

    return run


def use(tokenizer: Tokenizer) -> None:
    """Turn a few texts to and fro, and ask all that is asked of a tokenizer."""
    size = tokenizer.vocab_size
    for text in _TEXTS:
        tokens = tokenizer.encode(text)
        assert all(0 <= token < size for token in tokens)
        assert tokenizer.encode(text) == tokens
        tokenizer.decode(tokens).encode()
    ids = (*range(min(size, 20)), size - 1, size, size + 1)
    tokenizer.decode([token for token in ids if token >= 0]).encode()
    for token in ids[:8]:
        tokenizer.token_text(token).encode()
    for text in tokenizer.special_tokens:
        assert tokenizer.token_id(text) is not None
    tokenizer.digest()


TARGET = Target(
    "tokenizer",
    open_target,
    json_mutator(_WORDS, _VALUES, damaged=0.02),
    seeds,
    guided_by=("tercet_engine.tokenizer", "tercet_engine.piece_bytes"),
)
