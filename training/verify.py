#!/usr/bin/env python3
"""Compare the export with the training model: the same logits up to int8 roundings.

python -m training.verify --checkpoint run/checkpoint.pt --export export
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment

from training.model import BitNet, Config
from training.reference import Cache, Reference
from training.tokenizer import CHAT_TEMPLATE, Encoder, prompt

CHATS = (
    [("user", "Hello!")],
    [("user", "Tell me a story about a dog named Max.")],
    [
        ("system", "Be brief."),
        ("user", "Tell me a story."),
        ("assistant", "Once there was a cat."),
        ("user", "More!"),
    ],
)
# An activation at the edge between two int8 values may round either way: the measured differences
# are a third of these bounds.
LARGEST_DIFFERENCE = 0.35
TYPICAL_DIFFERENCE = 0.05


def render(turns: list[tuple[str, str]]) -> str:
    """The prompt as a server renders it from tokenizer_config.json."""
    messages = [{"role": role, "content": content} for role, content in turns]
    template = Environment(autoescape=False).from_string(CHAT_TEMPLATE)  # noqa: S701 - text, not a web page
    return template.render(messages=messages, add_generation_prompt=True)


def training_model(checkpoint: Path) -> BitNet:
    """The model of a checkpoint in float32, with the norms rounded as they are stored."""
    state = torch.load(checkpoint, weights_only=True)
    model = BitNet(Config(**state["config"]), compute=torch.float32)
    model.load_state_dict(state["model"])
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data = parameter.data.bfloat16().float()
    return model


def main() -> None:
    """Exit with 1 on any difference that roundings do not explain."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("run/checkpoint.pt"))
    parser.add_argument("--export", type=Path, default=Path("export"))
    a = parser.parse_args()
    model, reference = training_model(a.checkpoint), Reference(a.export)
    encoder = Encoder(reference.tokenizer)
    good = True
    for turns in CHATS:
        text = render(turns)
        ids = reference.tokenizer.encode(text).ids
        trained_as = [i & 0x7FFF for i in encoder.chat([*turns, ("assistant", "")])][:-1]
        with torch.no_grad():
            ours = model.logits(torch.tensor(ids)).numpy()
        difference = np.abs(ours - reference.logits(ids, Cache()))
        same_text, same_ids = text == prompt(turns), ids == trained_as
        close = bool(
            difference.max() < LARGEST_DIFFERENCE and difference.mean() < TYPICAL_DIFFERENCE
        )
        good &= same_text and same_ids and close
        print(
            f"template {same_text}, tokens {same_ids}, logits differ by {difference.mean():.4f} on "
            f"average and {difference.max():.4f} at most: {turns[-1][1]!r}"
        )
    sys.exit(not good)


if __name__ == "__main__":
    main()
