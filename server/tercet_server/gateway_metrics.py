"""The engines once more, by the names that Kubernetes' inference gateways look for.

The endpoint picker of the Gateway API's inference extension chooses a server by its line and its KV
cache. Its protocol for model servers leaves the names to the server; those it looks for unless it
is told others are vLLM's, of which the KV cache has an older one and a newer one.
"""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from tercet_engine import BLOCK_SIZE
from tercet_server.engine_metrics import Engines, look, usage_ratio


class GatewayCollector(Collector):
    """Collects what a gateway needs to choose a server."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    @override
    def collect(self) -> Iterator[Metric]:
        looks = look(self._engines)
        for name, text, value_of in (
            ("num_requests_waiting", "Completions in line.", lambda s: s.num_waiting),
            ("num_requests_running", "Completions being computed.", lambda s: s.num_running),
            ("kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1.", usage_ratio),
            ("gpu_cache_usage_perc", "The same by its older name; no GPU is here.", usage_ratio),
        ):
            family = GaugeMetricFamily(f"vllm:{name}", text, labels=["model_name"])
            for model, _, stats in looks:
                family.add_metric([model], value_of(stats))
            yield family
        labels = ["model_name", "block_size", "num_gpu_blocks"]
        config = GaugeMetricFamily("vllm:cache_config_info", "The KV cache's sizes.", labels=labels)
        for model, _, stats in looks:
            config.add_metric([model, str(BLOCK_SIZE), str(stats.num_blocks)], 1)
        yield config
