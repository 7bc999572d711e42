"""Plain sampling from the training model, for a look at a running training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from training.tokenizer import BOS, EOS, EOT, prompt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from training.model import BitNet

SAMPLES = (
    "Hello!",
    "Who are you?",
    "Tell me a story about a dog named Max.",
    "Write a short story with the words: tree, happy, ball.",
    "What is the capital of France?",
)


@torch.no_grad()
def sample(
    model: BitNet,
    tokenizer: Tokenizer,
    ask: str,
    *,
    temperature: float = 0.6,
    longest: int = 220,
    seed: int = 0,
) -> str:
    """One answer; `...` at its end when the model does not stop by itself."""
    generator = torch.Generator().manual_seed(seed)
    stop = {tokenizer.token_to_id(EOS), tokenizer.token_to_id(EOT)}
    ids = tokenizer.encode(BOS + prompt([("user", ask)]), add_special_tokens=False).ids
    begin = len(ids)
    while len(ids) < begin + longest:
        logits = model.logits(torch.tensor(ids))[-1]
        token = int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))
        if token in stop:
            return str(tokenizer.decode(ids[begin:]))
        ids.append(token)
    return str(tokenizer.decode(ids[begin:])) + " ..."
