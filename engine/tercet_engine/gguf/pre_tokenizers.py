r"""How text is cut into pieces before byte pairs are merged, by the names that GGUF files use.

No merge crosses a cut, so a wrong pattern gives other tokens than the model was trained with, and
answers that are a little worse without a visible fault. Therefore a name that is not listed is
refused. Where there are several patterns, each cuts what the ones before have left. Held against
published vectors of ids are those of gpt-2, mpt, falcon, starcoder, refact, deepseek-coder and
llama-bpe; the others are written down from descriptions and have not been.

The alternatives of a pattern, in the order in which they are tried at each place:

    contractions      's 't 're 've 'm 'll 'd, in small letters or (?i:) in any
    a word            letters, with one character before them that is no letter, digit or line end
                      (the GPT-2 pattern allows a space only)
    a number          of up to three digits, or of one, or of any length
    signs             neither letters, digits nor white space, a space before and line ends after
    line ends         with the white space before them
    white space       all but its last character, which belongs to what follows: \s+(?!\S)
"""

from dataclasses import dataclass
from typing import Any, Final

from tercet_engine.errors import UnsupportedModel
from tercet_engine.gguf.cursor import shown

_GPT_2: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA_3: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN_2: Final = _LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
_QWEN_3_5: Final = (  # marks, such as vowel signs, belong to words
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK_3: Final = (  # a sign may begin a word of Latin letters; signs are \p{P} and \p{S} only
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_HAN_AND_KANA: Final = r"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_HAN_AND_HANGUL: Final = r"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """One way of cutting.

    Attributes:
        patterns: regular expressions in the order in which they cut.
        looks_up_pieces: a piece that is a token as a whole is taken without merging.
        adds_bos: what holds if the file does not say whether a BOS token comes first.
        composes: letters and their accents are first made one character (NFC).
    """

    patterns: tuple[str, ...]
    looks_up_pieces: bool = False
    adds_bos: bool = False
    composes: bool = False

    def as_json(self) -> dict[str, Any]:
        """The form that it has in a `tokenizer.json`."""
        cuts = [
            {"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False}
            for p in self.patterns
        ]
        to_bytes = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": False,
        }
        return {"type": "Sequence", "pretokenizers": [*cuts, to_bytes]}


_KINDS: Final = {
    ("default", "gpt-2", "gpt2", "phi-2", "mpt"): PreTokenizer((_GPT_2,)),
    ("olmo",): PreTokenizer((_GPT_2,), composes=True),
    ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"): PreTokenizer(
        (r"\p{N}", _GPT_2)
    ),
    ("falcon",): PreTokenizer((r"[\p{P}\$\+<=>\^~\|`]+", _GPT_2, r"[0-9][0-9][0-9]")),
    ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "falcon_e"): PreTokenizer(
        (_LLAMA_3,), looks_up_pieces=True, adds_bos=True
    ),
    ("smaug-bpe", "dbrx"): PreTokenizer((_LLAMA_3,)),
    ("qwen2",): PreTokenizer((_QWEN_2,), composes=True),
    ("deepseek-r1-qwen", "stablelm2"): PreTokenizer((_QWEN_2,)),
    ("qwen35",): PreTokenizer((_QWEN_3_5,), composes=True),
    ("deepseek-coder",): PreTokenizer(
        (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _HAN_AND_HANGUL, r"\p{N}")
    ),
    ("deepseek-v3",): PreTokenizer((r"\p{N}{1,3}", _HAN_AND_KANA, _DEEPSEEK_3)),
}
_BY_NAME: Final = {name: kind for names, kind in _KINDS.items() for name in names}


def find_pre_tokenizer(name: str, source: str) -> PreTokenizer:
    """Look up a name; `source` is the file that it comes from.

    Raises:
        UnsupportedModel: it is not listed.
    """
    if name not in _BY_NAME:
        message = (
            f"{source}: tokenizer.ggml.pre is {shown(name)}, which is not supported; supported are "
            f"{', '.join(sorted(_BY_NAME))}"
        )
        raise UnsupportedModel(message)
    return _BY_NAME[name]
