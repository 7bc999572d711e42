"""The engines' numbers, by model, and the answers given, as Prometheus reads them.

The registry is the server's own, and the engines are only looked at when somebody asks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from tercet_engine import EngineStats
from tercet_server.lifecycle import Lifecycle
from tercet_server.served_models import ServedModel

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
_GAUGES: Final[Mapping[str, tuple[Callable[[EngineStats], int], str]]] = {
    "completions_running": (lambda stats: stats.num_running, "Being computed."),
    "completions_waiting": (lambda stats: stats.num_waiting, "Not yet admitted."),
    "kv_cache_blocks": (lambda stats: stats.num_blocks, "Blocks there are."),
    "kv_cache_blocks_used": (
        lambda stats: stats.num_blocks - stats.num_free_blocks,
        "Blocks held.",
    ),
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
        models = self._lifecycle.models
        yield _info(models)
        stats = {model.name: model.engine.stats() for model in models}
        for name, (gauge, text) in _GAUGES.items():
            metric = GaugeMetricFamily(f"tercet_{name}", text, labels=["model"])
            for model, own in stats.items():
                metric.add_metric([model], gauge(own))
            yield metric
        for name, (field, text) in _COUNTERS.items():
            counter = CounterMetricFamily(f"tercet_{name}", text, labels=["model"])
            for model, own in stats.items():
                counter.add_metric([model], getattr(own, field))
            yield counter
        head = CounterMetricFamily("tercet_head", _HEAD_TEXT, labels=["model", "kind"])
        for model, own in stats.items():
            for kind, count in own.head.items():
                head.add_metric([model, kind], count)
        yield head


def _info(models: Iterable[ServedModel]) -> Metric:
    metric = InfoMetricFamily("tercet_engine", "What is being served.", labels=["model"])
    for model in models:
        info = model.engine.info
        labels = {
            "id": info.model_id,
            "fingerprint": info.fingerprint,
            "kernels": info.kernels,
            "packing": info.packing,
            "threads": str(info.num_threads),
        }
        metric.add_metric([model.name], labels)
    return metric
