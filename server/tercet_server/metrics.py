"""The engine's numbers and the answers given, as Prometheus reads them.

The registry is the server's own, and the engine is only looked at when somebody asks.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from tercet_engine import EngineStats
from tercet_server.lifecycle import Lifecycle

_COUNTERS: Final = {
    "prompt_tokens": ("num_prompt_tokens", "Prompt tokens of admitted completions."),
    "cached_tokens": ("num_cached_tokens", "Prompt tokens found in the prefix cache."),
    "generated_tokens": ("num_generated_tokens", "Tokens generated."),
    "computed_tokens": ("num_computed_tokens", "Tokens put through the model."),
    "drafted_tokens": ("num_drafted_tokens", "Tokens guessed ahead."),
    "accepted_tokens": ("num_accepted_tokens", "Guesses that were right."),
    "steps": ("num_steps", "Batches computed."),
    "completions_finished": ("num_finished", "Completions that came to their end."),
    "completions_aborted": ("num_aborted", "Completions whose client left."),
    "requests_refused": ("num_refused", "Requests refused because the waiting line was full."),
    "preemptions": ("num_preemptions", "Completions set back to make room for older ones."),
}
_HEAD_TEXT: Final = (
    "Tokens drawn from half of the head (screened) with so many logits finished, and rows of all "
    "logits computed (full), some of them after a screening (undecided)."
)


class Metrics:
    """One server's registry.

    Attributes:
        registry: everything there is to read.
        requests: answers given, by status.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Counter(
            "tercet_http_requests",
            "Answers given, by status; 499: the client left.",
            ["status"],
            registry=self.registry,
        )
        self.registry.register(_EngineCollector(lifecycle))


class _EngineCollector(Collector):
    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    @override
    def collect(self) -> Iterator[Metric]:
        if self._lifecycle.is_loading:
            return
        engine = self._lifecycle.engine
        info, stats = engine.info, engine.stats()
        labels = {
            "model": info.model_id,
            "fingerprint": info.fingerprint,
            "kernels": info.kernels,
            "packing": info.packing,
            "threads": str(info.num_threads),
        }
        yield InfoMetricFamily("tercet_engine", "What is being served.", labels)
        yield from _gauges(stats)
        for name, (field, text) in _COUNTERS.items():
            yield CounterMetricFamily(f"tercet_{name}", text, getattr(stats, field))
        head = CounterMetricFamily("tercet_head", _HEAD_TEXT, labels=["kind"])
        for kind, count in stats.head.items():
            head.add_metric([kind], count)
        yield head


def _gauges(stats: EngineStats) -> Iterator[Metric]:
    used = stats.num_blocks - stats.num_free_blocks
    yield GaugeMetricFamily("tercet_completions_running", "Being computed.", stats.num_running)
    yield GaugeMetricFamily("tercet_completions_waiting", "Not yet admitted.", stats.num_waiting)
    yield GaugeMetricFamily("tercet_kv_cache_blocks", "Blocks there are.", stats.num_blocks)
    yield GaugeMetricFamily("tercet_kv_cache_blocks_used", "Blocks held.", used)
