"""A whole engine over the toy runner: real streams, thread, scheduler, tokenizer and template.

Its tokens are bytes. It writes short words of small letters, and ends a turn now and then.
"""

import dataclasses
from collections.abc import Sequence

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from tercet_engine import AsyncEngine, ChatTemplate, EngineConfig, EngineInfo, Tokenizer
from tercet_engine.chat_template import BITNET_TEMPLATE
from tests.oracle.toy_runner import ScriptedRunner, ToyRunner

BOS, EOS, EOT = 256, 257, 258
VOCAB_SIZE = 259
LETTERS = "etaoinshrdlu"


def byte_tokenizer(marks: Sequence[str] = (), *, are_special: bool = False) -> Tokenizer:
    """Tokens 0 to 255 are the bytes in the byte-level alphabet's order; three are special.

    Further tokens are marks such as "<think>", which are text for all that if they are not special.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    backend.add_special_tokens(specials)
    backend.add_tokens(
        [tokenizers.AddedToken(mark, normalized=False, special=are_special) for mark in marks]
    )
    backend.post_processor = processors.TemplateProcessing(
        single=f"{specials[0]} $A", special_tokens=[(specials[0], BOS)]
    )
    return Tokenizer(backend)


class LetterTokens:
    """Turns the numbers that the toy runner draws into tokens: letters, spaces, an end of turn.

    Args:
        tokenizer: knows the letters' tokens.
        end_every: one draw in so many ends the turn; 0: none does.
        letters: what is drawn from.
    """

    def __init__(self, tokenizer: Tokenizer, end_every: int, letters: str) -> None:
        self._tokens = tokenizer.encode(letters, add_special_tokens=False)
        self._end_every = end_every

    def __call__(self, number: int) -> int:
        if self._end_every and number % self._end_every == 0:
            return EOT
        return self._tokens[(number // 1021) % len(self._tokens)]


def make_toy_engine(
    config: EngineConfig | None = None,
    *,
    num_blocks: int = 256,
    max_context: int = 512,
    end_every: int = 40,
    letters: str = LETTERS + "   ",
    before_step=lambda: None,
    template: str = BITNET_TEMPLATE,
    marks: Sequence[str] = (),
    are_special: bool = False,
    script: str | None = None,
) -> AsyncEngine:
    """Start a toy engine; whoever calls this must close it.

    With a `script` its answers are that text, as far as their grammar lets them be.
    """
    config = config or EngineConfig(max_batch_tokens=64, max_sequences=8, max_waiting_requests=16)
    tokenizer = byte_tokenizer(marks, are_special=are_special)
    to_token = LetterTokens(tokenizer, end_every, letters)
    runner = ToyRunner(num_blocks, config.block_size, to_token, before_step)
    if script is not None:
        tokens = tokenizer.encode(script, add_special_tokens=False)
        runner = ScriptedRunner(num_blocks, config.block_size, [*tokens, EOT])
        config = dataclasses.replace(config, speculation="off")  # it draws each token once
    info = EngineInfo(
        model_id="toy",
        created=1_700_000_000,
        fingerprint="tc-0123456789abcdef",
        max_context_tokens=max_context,
        vocab_size=VOCAB_SIZE + len(marks),
        hidden_size=2,
        kernels="toy",
        packing="toy",
        num_threads=1,
        stop_token_ids=frozenset({EOS, EOT}),
    )
    return AsyncEngine(runner, config, info, tokenizer, ChatTemplate(template, tokenizer))
