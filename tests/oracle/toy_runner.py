"""A model of no weights whose every token depends on everything a real model's would.

Its keys and values are digests: each depends on the token and, read back through the block table,
on the digest before it. A wrong table, a block shared by mistake, a prefix taken for another: any
of them changes the text.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence

import numpy as np

from tercet_engine.batch import Batch
from tercet_engine.step_result import StepResult


def digest(previous: bytes, token: int) -> bytes:
    return hashlib.blake2b(previous + token.to_bytes(4, "little"), digest_size=8).digest()


def draw(keys: Sequence[bytes], *, seed: int, choice: int, position: int) -> int:
    """The first four bytes of a digest of the whole context and of what a draw depends on."""
    drawn = f"{seed} {choice} {position}".encode()
    return int.from_bytes(hashlib.blake2b(b"".join(keys) + drawn, digest_size=4).digest(), "little")


def as_token(number: int) -> int:
    return number % 50


class ToyRunner:
    """Behaves like the model as far as the scheduler can tell.

    Args:
        num_blocks: of the KV cache.
        block_size: tokens per block.
        to_token: makes a token of a number drawn.
        before_step: called at the start of each `run`, on the engine's thread; may wait or raise.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        to_token: Callable[[int], int] = as_token,
        before_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.num_blocks = num_blocks
        self.is_closed = threading.Event()
        self._block_size = block_size
        self._to_token = to_token
        self._before_step = before_step
        self._keys = [b""] * (num_blocks * block_size)

    def run(self, batch: Batch) -> StepResult:
        self._before_step()
        for chunk in range(len(batch.positions)):
            self._compute(batch, chunk)
        targets = batch.sampling.targets.tolist()
        tokens = [
            self._draw(batch, row, place) if targets[row] < 0 else targets[row]
            for row, place in enumerate(batch.outputs.tolist())
        ]
        most = max(batch.sampling.num_logprobs.tolist(), default=-1)
        return StepResult(tokens, *_scores(tokens, max(most, 0)), _hidden(batch))

    def head_stats(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        self.is_closed.set()

    def _compute(self, batch: Batch, chunk: int) -> None:
        first = int(batch.positions[chunk])
        start, end = (int(index) for index in batch.chunk_starts[chunk : chunk + 2])
        slots = self._slots(batch, chunk, first + end - start)
        for position, token in enumerate(batch.token_ids[start:end].tolist(), start=first):
            previous = self._keys[slots[position - 1]] if position else b""
            self._keys[slots[position]] = digest(previous, token)

    def _draw(self, batch: Batch, row: int, token: int) -> int:
        chunk = int(np.searchsorted(batch.chunk_starts, token, side="right")) - 1
        start = int(batch.chunk_starts[chunk])
        slots = self._slots(batch, chunk, int(batch.positions[chunk]) + token - start + 1)
        sampling = batch.sampling
        number = draw(
            [self._keys[slot] for slot in slots],
            seed=0 if sampling.temperature[row] < 1e-5 else int(sampling.seed[row]),
            choice=int(sampling.choice[row]),
            position=int(sampling.position[row]),
        )
        forbidden = _forbidden(batch, row)
        if (allowed := _allowed(batch, row)) is not None:
            return allowed[number % len(allowed)]
        return next(
            t for t in map(self._to_token, range(number, number + 999)) if t not in forbidden
        )

    def _slots(self, batch: Batch, chunk: int, num_positions: int) -> list[int]:
        table = batch.block_tables[chunk]
        positions = np.arange(num_positions)
        slots = (
            table[positions // self._block_size] * self._block_size + positions % self._block_size
        )
        return [int(slot) for slot in slots]


class ScriptedRunner(ToyRunner):
    """Draws the tokens of a script one after the other, for one sequence at a time.

    What a mask forbids is skipped; where it forbids all the rest, the first token allowed is drawn.
    """

    def __init__(self, num_blocks: int, block_size: int, script: Sequence[int]) -> None:
        super().__init__(num_blocks, block_size)
        self._script = list(script)
        self._next = 0
        self._last_position = -1

    def _draw(self, batch: Batch, row: int, token: int) -> int:
        position = int(batch.sampling.position[row])
        if position != self._last_position + 1:
            self._next = 0  # another answer
        self._last_position = position
        allowed = _allowed(batch, row)
        for place in range(self._next, len(self._script)):
            if allowed is None or self._script[place] in allowed:
                self._next = place + 1
                return self._script[place]
        assert allowed, "an answer ends with its script"
        return allowed[0]


def toy_completion(
    prompt: Sequence[int],
    max_tokens: int,
    *,
    end_tokens: frozenset[int] = frozenset(),
    seed: int = 0,
    choice: int = 0,
    to_token: Callable[[int], int] = as_token,
) -> list[int]:
    """What the runner generates for a prompt alone, without cache, scheduler or blocks."""
    tokens = list(prompt)
    keys: list[bytes] = []
    for _ in range(max_tokens):
        for token in tokens[len(keys) :]:
            keys.append(digest(keys[-1] if keys else b"", token))
        tokens.append(to_token(draw(keys, seed=seed, choice=choice, position=len(tokens))))
        if tokens[-1] in end_tokens:
            break
    return tokens[len(prompt) :]


def _allowed(batch: Batch, row: int) -> list[int] | None:
    """What the row's mask leaves, None without one."""
    if (mask := int(batch.sampling.mask_rows[row])) < 0:
        return None
    bits = np.unpackbits(batch.sampling.masks[mask].view(np.uint8), bitorder="little")
    return [int(token) for token in np.flatnonzero(bits)]


def _scores(tokens: list[int], most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every token is the likeliest, with -1; the next ids follow, each less likely by 1."""
    ids = np.array(tokens, np.int32).reshape(-1, 1)
    ranks = np.arange(most, dtype=np.int32)
    logprobs = np.full(len(tokens), -1, np.float32)
    tops = np.broadcast_to((-1 - ranks).astype(np.float32), (len(tokens), most))
    return logprobs, ids + ranks, tops


def _hidden(batch: Batch) -> np.ndarray:
    """A token's state is its id and 1."""
    ids = batch.token_ids[batch.pooled].astype(np.float32)
    return np.stack([ids, np.ones_like(ids)], axis=1)


def _forbidden(batch: Batch, row: int) -> set[int]:
    start, end = batch.sampling.bias_starts[row : row + 2]
    biases = zip(
        batch.sampling.bias_tokens[start:end], batch.sampling.biases[start:end], strict=True
    )
    return {int(token) for token, bias in biases if bias <= -100}
