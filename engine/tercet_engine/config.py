"""The engine's settings and bounds: one frozen record whose relations are checked when it is made.

Everything that could grow has its limit here: the context, a step's batch, the sequences that run,
the ones that wait. Memory follows from these numbers and is allocated at start.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from tercet_engine.drafter import MAX_DRAFT
from tercet_engine.errors import InvalidConfig

BLOCK_SIZE: Final = 16
"""Tokens per block of the KV cache, the unit in which attention is summed; fixed by the kernels."""

AUTO_PACKING: Final = "auto"
"""The packing that is fastest on this machine, found by trying each for a moment."""

MAPPED_PACKING: Final = "mapped"
"""A converted model's weights, used where its file is mapped."""

Activations = Literal["int8", "int16"]
Head = Literal["int8", "bf16"]
KvType = Literal["bf16", "f32", "int8"]
Speculation = Literal["auto", "off"]


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How large the engine may become. Raises `InvalidConfig` with the limit and the value.

    Attributes:
        max_context: tokens of prompt and answer together; None: what the model was made for.
        max_batch_tokens: tokens computed in one step at most.
        max_sequences: sequences that run at the same time at most.
        max_waiting_requests: sequences that wait at most, beside those that run.
        max_waiting_tokens: prompt tokens that wait at most; a single prompt may always wait alone.
        max_queue_seconds: a request that waits longer for its first step is given up, and one that
            would have to is not taken; None: no limit.
        kv_cache_bytes: memory for keys and values; None: chosen by what is free.
        num_threads: worker threads; None: what the CPU affinity and the cgroup quota allow.
        kernels: name of a kernel set; "": the best that this CPU runs.
        packing: how ternary weights are kept in memory; "auto": as a short measurement at load
            finds fastest, or as a converted model's file has them; "mapped": not in memory of their
            own, but where a converted model's file is mapped. It changes no number.
        head: how the output head is stored. It changes numbers, so it is part of the fingerprint.
        activations: how activations are rounded in models that leave them in floating point; it
            changes nothing in those that define int8 themselves. Part of the fingerprint. "int16"
            is within 0.1 % of what floats give; "int8" takes half the arithmetic.
        kv_type: how keys and values are kept; part of the fingerprint too. "f32" keeps them as they
            were computed, at twice the memory; "int8" rounds them to 8 bits, at half of it.
        touch_kv_cache: take the KV cache's memory at start, so that it does not grow in use.
        prefix_cache: whether the blocks of finished prompts are kept for later ones.
        max_step_ms: how long a step that carries streams should take at most, in milliseconds:
            prompts are cut accordingly, so that streams keep their pace; 0: any time.
        speculation: "auto": guess tokens and compute them beside the next one where that is
            faster; "off": never. Changes no token.
        block_size: tokens per block; anything but `BLOCK_SIZE` is for tests.
    """

    max_context: int | None = None
    max_batch_tokens: int = 512
    max_sequences: int = 64
    max_waiting_requests: int = 256
    max_waiting_tokens: int = 262_144
    max_queue_seconds: float | None = None
    kv_cache_bytes: int | None = None
    num_threads: int | None = None
    kernels: str = ""
    packing: str = AUTO_PACKING
    head: Head = "int8"
    activations: Activations = "int16"
    kv_type: KvType = "bf16"
    touch_kv_cache: bool = True
    prefix_cache: bool = True
    max_step_ms: int = 200
    speculation: Speculation = "auto"
    block_size: int = BLOCK_SIZE

    def __post_init__(self) -> None:
        _check_range("max_context", self.max_context, 2, 1 << 20)
        _check_range("max_batch_tokens", self.max_batch_tokens, 1, 65_536)
        _check_range("max_sequences", self.max_sequences, 1, 4096)
        _check_range("max_waiting_requests", self.max_waiting_requests, 0, 1 << 20)
        _check_range("max_waiting_tokens", self.max_waiting_tokens, 0, 1 << 30)
        _check_range("max_queue_seconds", self.max_queue_seconds, 0.01, 86_400)
        _check_range("kv_cache_bytes", self.kv_cache_bytes, 1, 1 << 50)
        _check_range("num_threads", self.num_threads, 1, 1024)
        _check_range("max_step_ms", self.max_step_ms, 0, 600_000)
        _check_choice("speculation", self.speculation, get_args(Speculation))
        _check_choice("head", self.head, get_args(Head))
        _check_choice("activations", self.activations, get_args(Activations))
        _check_choice("kv_type", self.kv_type, get_args(KvType))
        if self.max_sequences > self.max_batch_tokens:  # else a stream could starve in a step
            message = (
                f"max_sequences must be at most max_batch_tokens, {self.max_batch_tokens}, so that "
                f"every stream can advance in every step; got {self.max_sequences}"
            )
            raise InvalidConfig(message)

    @property
    def max_batch_outputs(self) -> int:
        """Tokens drawn in one step at most: one for each sequence, or for each guess of a few."""
        if self.speculation == "off":
            return self.max_sequences
        return min(self.max_batch_tokens, max(self.max_sequences, 1 + MAX_DRAFT))


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        message = f"{name} must be from {low} to {high}; got {value}"
        raise InvalidConfig(message)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        message = f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}; got {value}"
        raise InvalidConfig(message)
