"""A measurement as a table to read, and as JSON."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from tercet_server.cli.host import cache_bytes, cpu_name
from tercet_server.cli.measure import Figures, Workload
from tercet_server.cli.subject import Subject
from tercet_server.cli.units import size, speed
from tercet_server.version import package_version


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """One run of `tercet bench`."""

    subject: Subject
    workload: Workload
    figures: Figures
    peak_memory_bytes: int

    @property
    def full_context_memory_bytes(self) -> int:
        """The peak, had one sequence filled the context: with the rest of its keys and values."""
        untouched = max(0, self.subject.max_context - self.workload.num_touched_tokens)
        return self.peak_memory_bytes + untouched * self.subject.kv_bytes_per_token

    def as_json(self) -> dict[str, Any]:
        """Every figure by name; seconds, bytes, tokens and their ratios, nothing scaled."""
        subject, workload, figures = self.subject, self.workload, self.figures
        return {
            "model": subject.name,
            "version": package_version(),
            "cpu": cpu_name(),
            "kernels": subject.kernels,
            "packing": subject.packing,
            "threads": subject.num_threads,
            "head": subject.config.head,
            "kv_type": subject.config.kv_type,
            "context": subject.max_context,
            "prompt_tokens": workload.prompt_tokens,
            "generate_tokens": workload.generate_tokens,
            "repeat": workload.repeat,
            "load_seconds": subject.load_seconds,
            "ttft_seconds": figures.ttft_seconds,
            "prefill_tokens_per_second": figures.prefill_tokens_per_second,
            "prefill_macs_per_second": self._prefill_macs_per_second,
            "decode_tokens_per_second": figures.decode_tokens_per_second,
            "memory_bandwidth_bytes_per_second": figures.memory_bandwidth_bytes_per_second,
            "bytes_per_token": figures.bytes_per_token,
            "decode_limit_tokens_per_second": figures.decode_limit_tokens_per_second,
            "decode_share_of_limit": figures.decode_share_of_limit,
            "measured_context": workload.mean_context,
            "weight_bytes": subject.weight_bytes,
            "weight_bytes_per_token": subject.decode_bytes,
            "kv_bytes_per_context_token": subject.kv_bytes_per_token,
            "peak_memory_bytes": self.peak_memory_bytes,
            "full_context_memory_bytes": self.full_context_memory_bytes,
            "streams": [dataclasses.asdict(figure) for figure in figures.streams],
            "samples": dataclasses.asdict(figures.samples),
        }

    def print_table(self, console: Console) -> None:
        """Print the figures for a reader, and what they say about this host."""
        table = Table(
            title=f"{self.subject.name} on {cpu_name()}", title_justify="left", show_header=False
        )
        table.add_column()
        table.add_column(justify="right")
        table.add_column(style="dim")
        for row in self._rows():
            table.add_row(*row)
        console.print(table)
        console.print(self._conclusion(), soft_wrap=True, highlight=False)

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        subject, workload, figures = self.subject, self.workload, self.figures
        decode, ttft = figures.samples.decode_tokens_per_second, figures.samples.ttft_seconds
        bandwidth = figures.samples.memory_bandwidth_bytes_per_second
        prompt = f"{workload.prompt_tokens} prompt tokens"
        yield (
            "kernels, threads",
            f"{subject.kernels}, {subject.num_threads}",
            f"ternary weights packed {subject.packing}",
        )
        yield "load", f"{subject.load_seconds:.1f} s", ""
        yield (
            "prefill",
            f"{figures.prefill_tokens_per_second:.1f} tokens/s",
            f"{prompt}, {self._prefill_macs_per_second / 1e9:.0f} GMAC/s",
        )
        yield "time to first token", f"{figures.ttft_seconds:.3f} s", _range(ttft, 1, "s", 3)
        yield (
            "decode, 1 stream",
            f"{figures.decode_tokens_per_second:.1f} tokens/s",
            _range(decode, 1, "tokens/s", 1),
        )
        for figure in figures.streams:
            yield (
                f"decode, {figure.streams} streams",
                f"{figure.tokens_per_second:.1f} tokens/s",
                f"together; {figure.prompt_tokens} prompt tokens each",
            )
        yield (
            "memory bandwidth",
            speed(figures.memory_bandwidth_bytes_per_second),
            _range(bandwidth, 1e9, "GB/s", 1),
        )
        yield (
            "read per token",
            size(figures.bytes_per_token),
            f"weights {size(subject.decode_bytes)}, the rest keys and values",
        )
        yield (
            "peak memory",
            size(self.peak_memory_bytes),
            f"of it packed weights {size(subject.decode_bytes)}{self._second_half()}",
        )
        yield (
            "with a full context",
            size(self.full_context_memory_bytes),
            f"all {subject.max_context} tokens; their keys and values are "
            f"{size(subject.kv_bytes_per_token * subject.max_context)}",
        )

    def _conclusion(self) -> str:
        figures = self.figures
        share = figures.decode_share_of_limit
        if figures.bytes_per_token <= cache_bytes():
            return (
                f"{size(figures.bytes_per_token)} stay in this CPU's caches: memory does not limit "
                "decoding here, the work around each token does. Larger models are bound by memory."
            )
        return (
            f"Decoding reads {size(figures.bytes_per_token)} per token; memory could give them "
            f"{figures.decode_limit_tokens_per_second:.1f} times per second, and {share:.0%} of "
            "that limit is reached. Prefill is bound by arithmetic, so it grows with the cores."
        )

    def _second_half(self) -> str:
        """What an int8 head takes beside when all logits are first asked for."""
        later = self.subject.weight_bytes - self.subject.decode_bytes
        return f"; {size(later)} more for top_p or logprobs" if later else ""

    @property
    def _prefill_macs_per_second(self) -> float:
        return self.figures.prefill_tokens_per_second * self.subject.num_ternary_weights


def _range(samples: list[float], unit: float, name: str, digits: int) -> str:
    """The least and the greatest sample."""
    low, high = min(samples) / unit, max(samples) / unit
    if len(samples) == 1:
        return "1 sample"
    return f"{low:.{digits}f} to {high:.{digits}f} {name} in {len(samples)} samples"
