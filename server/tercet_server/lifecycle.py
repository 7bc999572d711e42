"""Where the server is in its life: loading, or serving until the engine takes no more.

The server listens before the model is loaded, so that probes get an answer and a port that is taken
is noticed at once. Only what needs the engine is refused meanwhile.
"""

from tercet_engine import AsyncEngine
from tercet_server.errors import ServerLoading


class Lifecycle:
    """Holds the engine once there is one. Lives on the event loop's thread."""

    def __init__(self, engine: AsyncEngine | None = None) -> None:
        self._engine = engine

    @property
    def engine(self) -> AsyncEngine:
        """The engine.

        Raises:
            ServerLoading: there is none yet.
        """
        if self._engine is None:
            raise ServerLoading
        return self._engine

    @property
    def is_loading(self) -> bool:
        """Whether the engine is still to come."""
        return self._engine is None

    def loaded(self, engine: AsyncEngine) -> None:
        """Begin to serve."""
        self._engine = engine

    def check_ready(self) -> None:
        """Return if requests are taken, be it that the waiting line is full just now.

        Raises:
            ServerLoading, EngineDraining, EngineDead: why it would not.
        """
        self.engine.check_accepting()
