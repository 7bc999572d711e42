"""One server's registry: what clients asked and were answered, and what its engines did.

The registry is the server's own. Every label comes from a set that does not grow by what clients
send: templates of routes, statuses, our own error codes, names of models.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from tercet_server.engine_metrics import EngineCollector, Engines
from tercet_server.errors import KINDS
from tercet_server.gateway_metrics import GatewayCollector

NO_ROUTE: Final = "other"
"""The label of every path at which nothing is."""
_SECONDS: Final = (
    *(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    *(10, 20, 30, 60, 120, 300, 600),
)
_LAGS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_CODES: Final = frozenset(kind.code for kind in KINDS.values())


class Metrics:
    """What is to be read at /metrics.

    Args:
        engines: that there are.
        for_gateways: whether it is told by the names of gateways too.
    """

    def __init__(self, engines: Engines, *, for_gateways: bool = False) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "tercet_http_requests",
            "Requests by the template of their route and the status; 499: the client left.",
            ["route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "tercet_http_request_duration_seconds",
            "From a request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._rejected = Counter(
            "tercet_http_requests_rejected",
            "Requests refused or failed, by the code of the error.",
            ["reason"],
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "tercet_http_requests_in_flight", "Requests in progress.", registry=self.registry
        )
        self._lag = Histogram(
            "tercet_event_loop_lag_seconds",
            "How late the server's event loop was, looked at four times a second.",
            buckets=_LAGS,
            registry=self.registry,
        )
        ProcessCollector(namespace="tercet", registry=self.registry)
        self.registry.register(EngineCollector(engines))
        if for_gateways:
            self.registry.register(GatewayCollector(engines))

    def loop_was_late(self, seconds: float) -> None:
        """The event loop came to a task so long after its time."""
        self._lag.observe(seconds)

    def begin(self) -> None:
        """A request has come."""
        self._in_flight.inc()

    def end(self, route: str | None, status: int, code: str | None, seconds: float) -> None:
        """It is answered.

        Args:
            route: the template of its path; None: there is nothing at that path.
            status: of the answer.
            code: of the error, if it is one.
            seconds: since it came.
        """
        self._in_flight.dec()
        self._requests.labels(route or NO_ROUTE, str(status)).inc()
        self._seconds.labels(route or NO_ROUTE).observe(seconds)
        if code is not None:
            self._rejected.labels(code if code in _CODES else "other").inc()
