"""What engines tell of themselves, as families of metrics with the model's name as their label.

The engines are only looked at when somebody asks.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from tercet_engine import AsyncEngine, EngineStats, HistogramCounts

Engines = Callable[[], Mapping[str, AsyncEngine]]
"""The engines there are just now, by the names of their models."""
_Look = tuple[str, AsyncEngine, EngineStats]


def usage_ratio(stats: EngineStats) -> float:
    """Share of the KV cache's blocks that sequences hold, from 0 to 1."""
    return (stats.num_blocks - stats.num_free_blocks) / stats.num_blocks


_COUNTERS: Final = {
    "prompt_tokens": ("num_prompt_tokens", "Prompt tokens of submitted completions."),
    "cached_tokens": ("num_cached_tokens", "Prompt tokens found in the prefix cache."),
    "generated_tokens": ("num_generated_tokens", "Tokens generated."),
    "computed_tokens": ("num_computed_tokens", "Tokens put through the model."),
    "drafted_tokens": ("num_drafted_tokens", "Tokens guessed ahead."),
    "accepted_tokens": ("num_accepted_tokens", "Guesses that were right."),
    "steps": ("num_steps", "Batches computed."),
    "completions_finished": ("num_finished", "Completions that came to their end."),
    "completions_aborted": ("num_aborted", "Completions whose client left, or that were given up."),
    "preemptions": ("num_preemptions", "Completions set back to make room for older ones."),
}
_GAUGES: Final[Mapping[str, tuple[Callable[[EngineStats], float], str]]] = {
    "completions_running": (lambda s: s.num_running, "Completions being computed."),
    "completions_waiting": (lambda s: s.num_waiting, "Completions that hold no blocks yet."),
    "waiting_tokens": (lambda s: s.num_waiting_tokens, "Prompt tokens before the first answer."),
    "kv_cache_blocks": (lambda s: s.num_blocks, "Blocks of the KV cache."),
    "kv_cache_blocks_used": (lambda s: s.num_blocks - s.num_free_blocks, "Blocks held."),
    "kv_cache_usage_ratio": (usage_ratio, "Share of the blocks that is held."),
}
_HISTOGRAMS: Final = {
    "step_sequences": ("step_sequences", "Sequences in one batch."),
    "step_tokens": ("step_tokens", "Tokens in one batch."),
    "step_duration_seconds": ("step_seconds", "How long a batch took."),
    "queue_duration_seconds": ("queue_seconds", "From submission to the first step."),
    "time_to_first_token_seconds": ("first_token_seconds", "From submission to the first token."),
    "inter_token_duration_seconds": ("between_tokens_seconds", "From one token to the next."),
    "completion_duration_seconds": ("total_seconds", "From submission to the end."),
}
_HEAD_TEXT: Final = (
    "Tokens drawn from half of the head (screened) with so many logits finished, and rows of all "
    "logits computed (full), some of them after a screening (undecided)."
)


class EngineCollector(Collector):
    """Collects from all engines there are."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    @override
    def collect(self) -> Iterator[Metric]:
        looks = look(self._engines)
        if not looks:
            return
        yield _info(looks)
        yield _planned_memory(looks)
        for name, (value_of, text) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"tercet_{name}", text, labels=["model"])
            for model, _, stats in looks:
                gauge.add_metric([model], value_of(stats))
            yield gauge
        for name, (attribute, text) in _COUNTERS.items():
            counter = CounterMetricFamily(f"tercet_{name}", text, labels=["model"])
            for model, _, stats in looks:
                counter.add_metric([model], getattr(stats, attribute))
            yield counter
        yield _by_kind(
            "tercet_requests_refused",
            "Requests that found the line full or too long, by what they would have waited for.",
            "reason",
            {model: stats.refusals for model, _, stats in looks},
        )
        yield _by_kind(
            "tercet_head", _HEAD_TEXT, "kind", {model: stats.head for model, _, stats in looks}
        )
        for name, (key, text) in _HISTOGRAMS.items():
            family = HistogramMetricFamily(f"tercet_{name}", text, labels=["model"])
            for model, _, stats in looks:
                add_histogram(family, [model], stats.histograms[key])
            yield family


def look(engines: Engines) -> list[_Look]:
    """Look at every engine once."""
    return [(name, engine, engine.stats()) for name, engine in engines().items()]


def add_histogram(
    family: HistogramMetricFamily, labels: list[str], counts: HistogramCounts
) -> None:
    """Add the counts of one histogram; Prometheus wants them summed up."""
    buckets: list[tuple[str, float]] = []
    num_values = 0
    for bound, count in zip((*counts.bounds, float("inf")), counts.counts, strict=True):
        num_values += count
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), num_values))
    family.add_metric(labels, buckets, counts.total)


def _by_kind(
    name: str, text: str, label: str, values: Mapping[str, Mapping[str, int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=["model", label])
    for model, counts in values.items():
        for kind, count in counts.items():
            family.add_metric([model, kind], count)
    return family


def _info(looks: list[_Look]) -> InfoMetricFamily:
    family = InfoMetricFamily("tercet_engine", "What is being served.", labels=["model"])
    for model, engine, _ in looks:
        info = engine.info
        facts = {
            "id": info.model_id,
            "fingerprint": info.fingerprint,
            "kernels": info.kernels,
            "packing": info.packing,
            "threads": str(info.num_threads),
        }
        family.add_metric([model], facts)
    return family


def _planned_memory(looks: list[_Look]) -> GaugeMetricFamily:
    text = "Memory that was planned for before the model was loaded."
    family = GaugeMetricFamily("tercet_planned_memory_bytes", text, labels=["model", "part"])
    for model, engine, _ in looks:
        info = engine.info
        for part, num_bytes in (
            ("weights", info.weight_bytes),
            ("kv_cache", info.kv_cache_bytes),
            ("workspace", info.workspace_bytes),
        ):
            family.add_metric([model, part], num_bytes)
    return family
