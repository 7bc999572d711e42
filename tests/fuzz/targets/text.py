"""Hostile text and token ids, in sound tokenizers: what comes back is what went in.

Text that was encoded is decoded to itself, and no special token is found in text that may hold
none. A detokeniser, fed token by token, shows the same text as all tokens at once, up to the stop
string that comes first.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from tercet_engine import Tokenizer
from tercet_engine.detokenizer import Detokenizer
from tests.fuzz.json_mutator import json_mutator
from tests.fuzz.target import Finding, Target
from tests.fuzz.targets import tokenizer as sound
from tests.oracle.toy_engine import byte_tokenizer

_MARK: Final = "\ue000"
_WORDS: Final = (
    "<|eot_id|>",
    "<|begin_of_text|>",
    "<think>",
    "<|eot_",
    "id|>",
    _MARK,
    "▁",
    "<0x41>",
)
_VALUES: Final = (*range(255, 261), 0xF0, 0x9F, 0x80, *_WORDS, "e\u0301", "🜁", "\u200b", "\ufffd")


def seeds() -> Sequence[bytes]:
    """Texts and ids of several kinds."""
    cases: list[dict[str, Any]] = [
        {"text": "hello <|eot_id|> wörld", "ids": [1, 2, 257, 200], "stop": ["ell"], "min": 0},
        {"text": "\ud83d\ude00 \ud800", "ids": [0xF0, 0x9F, 0x98, 0x80, 258], "stop": [], "min": 2},
        {"text": "aaab" * 9, "ids": list(range(250)), "stop": ["aab", "b", "ab"], "min": 3},
        {"text": "<think>a</think>", "ids": [259, 260, 99], "stop": ["x", "xx"], "min": 0},
    ]
    return [json.dumps(case).encode() for case in cases]


def open_target() -> Callable[[bytes], str]:
    """Each input is a text, token ids and stop strings."""
    tokenizer = byte_tokenizer(("<think>", "</think>"))
    pieced = [Tokenizer(sound.tokenizers.Tokenizer.from_str(s.decode())) for s in sound.seeds()]

    def run(data: bytes) -> str:
        try:
            case = json.loads(data)
        except (ValueError, RecursionError):
            return "no JSON"
        if not isinstance(case, dict):
            return "no object"
        text, ids = case.get("text"), case.get("ids")
        stop, least = case.get("stop"), case.get("min")
        if isinstance(text, str):
            check_text(tokenizer, text)
            for other in pieced:
                other.decode(other.encode(text, mark=_MARK)).encode()
        if isinstance(ids, list) and isinstance(stop, list):
            tokens = [token for token in ids if type(token) is int and 0 <= token < 1 << 31]
            stops = [one for one in stop if isinstance(one, str) and one][:4]
            check_stream(tokenizer, tokens, stops, least if type(least) is int else 0)
        return "run"

    return run


def check_text(tokenizer: Tokenizer, text: str) -> None:
    """What the text spells comes back, and special tokens only where they may be meant."""
    plain = text.encode("utf-8", "replace").decode()
    marked = tokenizer.encode(
        "".join(f"<{_MARK}" if char == "<" else char for char in text.replace(_MARK, "")),
        add_special_tokens=False,
        mark=_MARK,
    )
    special = {tokenizer.token_id(name) for name in tokenizer.special_tokens}
    if special & set(marked):
        message = "a special token was found in text that was marked"
        raise Finding(message)
    if tokenizer.decode(marked) != plain.replace(_MARK, ""):
        message = f"{plain!r} came back as {tokenizer.decode(marked)!r}"
        raise Finding(message)


def check_stream(tokenizer: Tokenizer, tokens: list[int], stops: list[str], least: int) -> None:
    """Piece by piece it is the same as at once, and no stop string is shown."""
    whole = tokenizer.decode(tokens)
    stream = Detokenizer(tokenizer, stop=stops, min_tokens=least)
    shown = []
    for token in tokens:
        shown.append(stream.push(token))
        if stream.is_stopped:
            break
    text = "".join([*shown, stream.finish()])
    text.encode()
    if not stream.is_stopped and text != whole:
        message = f"streamed {text!r}; at once {whole!r}"
        raise Finding(message)
    if not whole.startswith(text):
        message = f"{text!r} was shown, which does not begin {whole!r}"
        raise Finding(message)
    if least <= 0 and stops:
        ends = [(whole.find(s) + len(s), whole.find(s)) for s in stops if s in whole]
        expected = whole[: min(ends, default=(0, len(whole)))[1]]
        if text != expected:
            message = f"{text!r} was shown up to a stop string; it should be {expected!r}"
            raise Finding(message)
    parts = list(itertools.accumulate(shown))
    assert all(whole.startswith(part) for part in parts)


TARGET = Target(
    "text",
    open_target,
    json_mutator(("text", "ids", "stop", "min", *_WORDS), _VALUES, damaged=0.01),
    seeds,
    guided_by=("tercet_engine.tokenizer", "tercet_engine.detokenizer", "tests.fuzz.targets.text"),
    max_bytes=4096,
)
