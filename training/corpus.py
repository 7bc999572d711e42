#!/usr/bin/env python3
"""Build the tokenizer and the rows of tokens that `train.py` reads.

python -m training.corpus --out data --tokens 30e6 --clones clones
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tqdm import tqdm

from training import tinystories
from training.stories.chat import conversation
from training.stories.words import draw_request
from training.tokenizer import Encoder, prompt, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLAIN_SHARE = 0.04  # generated stories without a chat around them, for plain completion
OPEN_ROWS = 64
Rows = npt.NDArray[np.uint16]


def generated(encoder: Encoder, rng: random.Random) -> list[int]:
    """One generated document."""
    if rng.random() < PLAIN_SHARE:
        return encoder.plain(draw_request(rng).story.text)
    return encoder.chat(conversation(rng))


def documents(
    encoder: Encoder, natural: list[str], share: float, rng: random.Random
) -> Iterator[list[int]]:
    """Generated documents, and TinyStories so often that they are `share` of all tokens."""
    seen, of_them_natural = 1, 0
    queue: list[str] = []
    while True:
        if natural and of_them_natural < share * seen:
            queue = queue or rng.sample(natural, len(natural))
            document = encoder.plain(queue.pop())
            of_them_natural += len(document)
        else:
            document = generated(encoder, rng)
        seen += len(document)
        yield document


def pack(next_document: Callable[[], list[int]], count: int, length: int, pad: int) -> Rows:
    """`count` rows of whole documents, best fit; a document longer than a row is left out.

    Every document begins with BOS, by which the model keeps neighbours apart.
    """
    rows, open_rows = np.full((count, length), pad, np.uint16), list[list[int]]()
    done = 0
    with tqdm(total=count, unit="row", mininterval=5) as bar:
        while done < count:
            document = next_document()
            if len(document) > length:
                continue
            fitting = [r for r in open_rows if len(r) + len(document) <= length]
            if fitting:
                max(fitting, key=len).extend(document)
            else:
                open_rows.append(document)
            if len(open_rows) > OPEN_ROWS:
                fullest = max(open_rows, key=len)
                open_rows.remove(fullest)
                rows[done, : len(fullest)] = fullest
                done += 1
                bar.update()
    return rows


def tokenizer_texts(natural: list[str], count: int, seed: int) -> Iterator[str]:
    """What the tokenizer is learned from: the same mix."""
    rng = random.Random(seed)
    for _ in range(count):
        turns = conversation(rng)
        yield prompt(turns[:-1]) + turns[-1][1]
    yield from natural


def main() -> None:
    """Write tokenizer.json, train.npy, val.npy and meta.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data"))
    parser.add_argument(
        "--clones", type=Path, help="folder of clones OWNER+NAME with TinyStories; none: do without"
    )
    parser.add_argument("--tokens", type=float, default=30e6)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--natural-share", type=float, default=0.10)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)

    natural = tinystories.load(a.clones) if a.clones else []
    random.Random(a.seed).shuffle(natural)
    held_out, natural = natural[:60], natural[60:]
    path = a.out / "tokenizer.json"
    if path.exists():  # rows for a run that goes on must be split as before
        tokenizer = Tokenizer.from_file(str(path))
    else:
        tokenizer = train_tokenizer(tokenizer_texts(natural, 16_000, a.seed + 1), a.vocabulary)
        tokenizer.save(str(path))
    encoder = Encoder(tokenizer)
    pad = encoder.eos
    for name, texts, count, seed in (
        ("val", held_out, 64, a.seed + 2),
        ("train", natural, int(a.tokens / a.length), a.seed + 3),
    ):
        source = documents(encoder, texts, a.natural_share, random.Random(seed))
        rows = pack(source.__next__, count, a.length, pad)
        np.save(a.out / f"{name}.npy", rows)
        learned = float(np.mean(rows >> 15))
        print(f"{name}: {rows.shape}, {np.mean(rows == pad):.1%} padding, {learned:.1%} learned")
    meta = {
        "vocabulary": tokenizer.get_vocab_size(),
        "length": a.length,
        "bos": encoder.bos,
        "eos": encoder.eos,
        "eot": encoder.eot,
        "tinystories": len(natural),
        "natural_share": a.natural_share if natural else 0.0,
    }
    (a.out / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


if __name__ == "__main__":
    main()
