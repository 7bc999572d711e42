"""The tokenizer (byte-level BPE, Llama 3's split) and the chat format of bitnet-b1.58-2B-4T."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BOS, EOS, EOT = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
PAD = "<|finetune_right_pad_id|>"
SPECIALS = (
    BOS,
    EOS,
    "<|reserved_special_token_0|>",
    PAD,
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    EOT,
)
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# The tokenizer adds the BOS itself, so the template does not write it.
CHAT_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = message['role'] | capitalize + ': '+ message['content'] | trim "
    "+ '<|eot_id|>' %}"
    "{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
# High bit of a stored token: the model is trained to predict it. The other bits are the token.
LEARNED = 0x8000


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Learn `vocabulary` pieces, the special ones included, which take the last ids."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS} $B:1",
        special_tokens=[(BOS, tokenizer.token_to_id(BOS))],
    )
    return tokenizer


def prompt(turns: Sequence[tuple[str, str]]) -> str:
    """The text before an answer, as the chat template renders it."""
    return (
        "".join(f"{role.capitalize()}: {content.strip()}{EOT}" for role, content in turns)
        + "Assistant: "
    )


class Encoder:
    """Documents to token ids, split just as a server splits what it renders."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        ids = (tokenizer.token_to_id(t) for t in (BOS, EOS, EOT))
        self.bos, self.eos, self.eot = (i for i in ids if i is not None)

    def ids(self, text: str) -> list[int]:
        """Token ids without BOS."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def plain(self, text: str) -> list[int]:
        """A document that is no chat; all of it is learned."""
        return [self.bos] + [i | LEARNED for i in [*self.ids(text), self.eos]]

    def chat(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        """A conversation; only what the assistant says is learned.

        An earlier answer is split together with the space before it (" Once"), the last one apart
        from it, as it is generated. So the first piece of an earlier answer is not learned.
        """
        out = [self.bos]
        for role, content in turns[:-1]:
            head = self.ids(f"{role.capitalize()}:")
            whole = self.ids(f"{role.capitalize()}: {content}{EOT}")
            assert whole[: len(head)] == head
            mark = LEARNED if role == "assistant" else 0
            out += whole[: len(head) + 1] + [i | mark for i in whole[len(head) + 1 :]]
        out += self.ids("Assistant: ")
        return out + [i | LEARNED for i in [*self.ids(turns[-1][1]), self.eot]]
