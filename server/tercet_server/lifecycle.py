"""Where the server is in its life: loading, or serving until an engine takes no more.

The server listens before its models are loaded, so that probes get an answer and a port that is
taken is noticed at once. Only what needs an engine is refused meanwhile.
"""

from tercet_server.errors import ServerLoading
from tercet_server.served_models import ServedModels


class Lifecycle:
    """Holds the models once they are there. Lives on the event loop's thread."""

    def __init__(self, models: ServedModels | None = None) -> None:
        self._models = models

    @property
    def models(self) -> ServedModels:
        """The models.

        Raises:
            ServerLoading: they are not there yet.
        """
        if self._models is None:
            raise ServerLoading
        return self._models

    @property
    def is_loading(self) -> bool:
        """Whether the models are still to come."""
        return self._models is None

    def loaded(self, models: ServedModels) -> None:
        """Begin to serve."""
        self._models = models

    def check_ready(self) -> None:
        """Return if requests are taken, be it that a waiting line is full just now.

        Raises:
            ServerLoading, EngineDraining, EngineDead: why one would not.
        """
        self.models.check_accepting()
