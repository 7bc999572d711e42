#!/usr/bin/env python3
"""Train the model on the rows that `corpus.py` wrote, on a CPU.

    python -m training.train --data data --out run --goal 25e6
    python -m training.train --data data --out run --goal 40e6 --resume  # go on after it

Progress is counted in tokens, so a run may be stopped, paused or slowed at will. The rate is
constant, then falls to zero over the last part. A number of tokens in run/goal moves the end.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from training.attention import document_spans
from training.export import export
from training.model import IGNORED, BitNet, Block, Config
from training.muon import Muon
from training.quantise import BitLinear
from training.sample import SAMPLES, sample
from training.tokenizer import LEARNED

WARM_UP_STEPS = 60


def schedule(tokens: float, begin: float, goal: float, decay: float) -> float:
    """Share of the full rate: 1, then a line down to 1 % over the last `decay` of the run."""
    left = max(0.0, (goal - tokens) / max(1.0, goal - begin))
    return min(1.0, 0.01 + 0.99 * left / decay)


def batch_of(rows: np.ndarray[Any, Any], bos: int) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """Flattened ids, targets and documents of packed rows."""
    raw = torch.from_numpy(rows.astype(np.int64))
    ids = raw & (LEARNED - 1)
    following = torch.roll(raw, -1, dims=1)
    following[:, -1] = 0
    targets = torch.where(following >= LEARNED, following & (LEARNED - 1), IGNORED)
    return ids.reshape(-1), targets.reshape(-1), document_spans(ids, bos)


class Trainer:
    """A run: model, optimisers, the place in the data, and the log."""

    def __init__(self, a: argparse.Namespace) -> None:
        self.a, self.goal = a, a.goal
        a.out.mkdir(parents=True, exist_ok=True)
        self.meta = json.loads((a.data / "meta.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(a.data / "tokenizer.json"))
        self.train = np.load(a.data / "train.npy", mmap_mode="r")
        self.val = np.load(a.data / "val.npy")
        torch.manual_seed(a.seed)
        self.config = Config(
            self.meta["vocabulary"], a.hidden, a.ffn, a.layers, a.heads, a.kv_heads
        )
        self.model = BitNet(self.config)
        ternary = [m for m in self.model.modules() if isinstance(m, BitLinear)]
        matrices = {id(m.weight) for m in ternary}
        rest = [p for p in self.model.parameters() if id(p) not in matrices]
        self.muon = Muon(ternary)
        self.adam = torch.optim.AdamW(
            rest, lr=a.rate_rest, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )
        self.step = self.tokens = self.begin = self.row = 0
        self.log: list[dict[str, float]] = []
        self.stopped = False
        if a.resume and (a.out / "checkpoint.pt").exists():
            self.load()
        if not a.no_compile:
            for layer in self.model.layers:
                assert isinstance(layer, Block)
                for name in ("project", "finish"):
                    setattr(layer, name, torch.compile(getattr(layer, name)))
            setattr(self.model, "loss", torch.compile(self.model.loss))  # noqa: B010 - mypy's way

    def say(self, text: str) -> None:
        """One line beside the progress bar."""
        tqdm.write(time.strftime("%H:%M:%S ") + text)

    def save(self) -> None:
        """Write a checkpoint; the old one stays whole until the new one is."""
        state = {
            "model": self.model.state_dict(),
            "momentum": self.muon.momentum,
            "adam": self.adam.state_dict(),
            "step": self.step,
            "tokens": self.tokens,
            "begin": self.begin,
            "row": self.row,
            "log": self.log,
            "goal": self.goal,
            "config": asdict(self.config),
        }
        torch.save(state, self.a.out / "checkpoint.tmp")
        (self.a.out / "checkpoint.tmp").replace(self.a.out / "checkpoint.pt")
        (self.a.out / "log.json").write_text(json.dumps(self.log))

    def load(self) -> None:
        """Go on from the checkpoint; after a finished run the rate begins anew and falls again."""
        state = torch.load(self.a.out / "checkpoint.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.muon.momentum = state["momentum"]
        self.adam.load_state_dict(state["adam"])
        self.step, self.tokens, self.row, self.log = (
            state[k] for k in ("step", "tokens", "row", "log")
        )
        self.begin = self.tokens if self.tokens >= state["goal"] else state["begin"]
        self.say(f"resumed at step {self.step}, {self.tokens / 1e6:.2f} M tokens")

    def train_step(self) -> float:
        """One batch; returns its loss."""
        share = schedule(self.tokens, self.begin, self.goal, self.a.decay)
        share *= min(1.0, (self.step + 1) / WARM_UP_STEPS)
        index = np.arange(self.row, self.row + self.a.rows) % len(self.train)
        ids, targets, spans = batch_of(self.train[index], self.meta["bos"])
        loss: Tensor = self.model(ids, targets, spans)
        loss.backward()  # type: ignore[no-untyped-call]
        # No weight decay while the rate falls: the ternary weights settle.
        self.muon.step(self.a.rate * share, self.a.weight_decay if share >= 1 else 0.0)
        for group in self.adam.param_groups:
            group["lr"] = self.a.rate_rest * share
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self.row = (self.row + self.a.rows) % len(self.train)
        self.step += 1
        self.tokens += ids.numel()
        return float(loss.detach())

    @torch.no_grad()
    def validate(self) -> float:
        """Mean loss on the held-out rows, in batches of the compiled shape."""
        count = len(self.val) // self.a.rows * self.a.rows
        batches = np.split(self.val[:count], count // self.a.rows)
        return float(
            np.mean([float(self.model(*batch_of(rows, self.meta["bos"]))) for rows in batches])
        )

    def report(self, loss: float) -> float:
        """Validation loss, samples and a checkpoint."""
        value = self.validate()
        self.log.append(
            {
                "step": self.step,
                "tokens": self.tokens,
                "train": round(loss, 4),
                "val": round(value, 4),
            }
        )
        self.save()
        self.say(
            f"step {self.step}, {self.tokens / 1e6:.2f} M tokens: train {loss:.3f}, val {value:.4f}"
        )
        with (self.a.out / "samples.txt").open("a") as file:
            file.write(
                f"===== step {self.step}, {self.tokens / 1e6:.2f} M tokens, val {value:.4f}\n"
            )
            for seed, ask in enumerate(SAMPLES):
                answer = sample(self.model, self.tokenizer, ask, seed=seed)
                file.write(f"User: {ask}\nAssistant: {answer}\n\n")
        return value

    def run(self) -> None:
        """Train to the goal or until a signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stopped", True))
        bar = tqdm(
            total=self.goal,
            initial=self.tokens,
            unit="tok",
            unit_scale=True,
            mininterval=15,
            smoothing=0.05,
        )
        mean = math.nan
        while self.tokens < self.goal and not self.stopped:
            loss = self.train_step()
            mean = loss if math.isnan(mean) else mean + 0.03 * (loss - mean)
            bar.update(self.tokens - bar.n)
            bar.set_postfix_str(f"loss {mean:.3f}", refresh=False)
            if self.step % self.a.save_every == 0:
                self.save()
            if self.step % self.a.report_every == 0:
                self.report(mean)
            if self.step % 20 == 0 and (self.a.out / "goal").exists():
                self.goal = bar.total = float((self.a.out / "goal").read_text())
        self.report(mean)
        size = export(self.model, self.a.data / "tokenizer.json", self.a.out / "export")
        self.say(
            f"{'stopped' if self.stopped else 'done'}; exported {size / 1e6:.2f} MB of weights"
        )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("run"))
    parser.add_argument("--goal", type=float, default=25e6, help="tokens to train on, in all")
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--ffn", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=12, help="rows per step")
    parser.add_argument("--rate", type=float, default=0.02, help="of the ternary matrices (Muon)")
    parser.add_argument(
        "--rate-rest", type=float, default=2e-3, help="of embedding and norms (AdamW)"
    )
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument(
        "--decay", type=float, default=0.6, help="last part of the run in which the rate falls"
    )
    parser.add_argument("--save-every", type=int, default=100, help="steps")
    parser.add_argument("--report-every", type=int, default=400, help="steps")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    torch.set_num_threads(options.threads)
    Trainer(options).run()
