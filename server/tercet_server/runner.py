"""Runs the server from its settings to its end: listen, load, serve, drain.

The address is taken first, so that a port in use is noticed before a model is loaded, and requests
are answered (503) while it is. The first SIGTERM or SIGINT stops the taking of work: /ready fails,
new requests are refused, streams may go on until the deadline and are then ended by an error event.
The second ends the process at once. SIGHUP reads the file of keys again; where there is none it
means that the terminal is gone, and begins the drain too, unless the process was told to ignore it.
"""

import asyncio
import atexit
import contextlib
import errno
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import uvicorn
from typing_extensions import override

from tercet_engine import (
    AsyncEngine,
    EngineDead,
    FetchListener,
    ProgressOf,
    find_model,
    load_engines,
    tell_of_lost_pages,
)
from tercet_server.allocator import keep_few_arenas
from tercet_server.app import close_responses, create_app
from tercet_server.config_file import InvalidConfigFile
from tercet_server.daemon_thread import run_in_daemon_thread
from tercet_server.held_heads import HeldHeads
from tercet_server.http_protocol import BoundedHttpProtocol
from tercet_server.logs import make_logger, route_logging
from tercet_server.loop_lag import watching_loop
from tercet_server.model_names import choices_of, names_of
from tercet_server.open_files import check_open_files, room_for_connections
from tercet_server.served_models import ServedModels
from tercet_server.settings import Settings
from tercet_server.tls import check_tls

if TYPE_CHECKING:
    from tercet_server.key_ring import KeyRing
    from tercet_server.lifecycle import Lifecycle
    from tercet_server.metrics import Metrics

_FLUSH_SECONDS: Final = 5
"""After the drain: for the last bytes to reach their clients."""
_BACKLOG: Final = 2048
_NUM_EARS: Final = 8
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

LoadEngines = Callable[[Settings, ProgressOf], Sequence[AsyncEngine]]
"""Makes the engines, on a thread of its own. Raises `LoadError`, `InvalidSettings`."""
OnReady = Callable[[str, ServedModels], None]
"""Is told the server's URL and its models once it serves."""


class CannotListen(OSError):
    """The address is in use, not ours, or not an address: as the number tells."""


def load_from_settings(
    settings: Settings, progress_of: ProgressOf, fetching: FetchListener | None = None
) -> Sequence[AsyncEngine]:
    """Load the models that the settings name; `fetching` is told of those that are fetched."""
    tell_of_lost_pages()
    found = [find_model(choice.model, fetching) for choice in choices_of(settings)]
    names = names_of(settings, [folder.model_id for folder in found])
    models = {own.listed[0]: folder for own, folder in zip(names, found, strict=True)}
    return load_engines(models, settings.engine_config(), progress_of)


def _tell_nobody(_name: str) -> None:
    return None


def serve(
    settings: Settings,
    *,
    progress_of: ProgressOf = _tell_nobody,
    on_ready: OnReady | None = None,
    load: LoadEngines = load_from_settings,
) -> int:
    """Serve until a signal says to stop. Must be called on the main thread.

    Args:
        settings: of the server and its engines.
        progress_of: tells who is told how far the loading of a model has come, on another thread.
        on_ready: is called once the server takes requests.
        load: makes the engines.

    Returns:
        The process's exit code, 0: it was told to stop, and has.

    Raises:
        InvalidSettings: a file that they name is wrong, or the models' names contradict each other.
        CannotListen: on the address.
        LoadError: an engine cannot be started.
        EngineDead: one has stopped by an error that nobody foresaw, and with it the server.
    """
    check_open_files()
    check_tls(settings)
    route_logging(settings)
    keep_few_arenas()

    def ready(url: str, models: ServedModels) -> None:
        _leave_to_itself_what_stays()
        if on_ready:
            on_ready(url, models)

    with contextlib.closing(_listen(settings)) as listener, _collecting_all_at_the_end():
        server = Server(settings)
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(server.run_to_end(listener, lambda: load(settings, progress_of), ready))
    return 0


def _leave_to_itself_what_stays() -> None:
    """Keep the garbage collector from what is there when serving begins: over 100,000 objects.

    A full pass halts every request. Without those it takes under a millisecond at rest, not 84, and
    comes when requests have left a quarter of what they hold, not a quarter of everything.
    """
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def _collecting_all_at_the_end() -> Iterator[None]:
    try:
        yield
    finally:
        gc.unfreeze()


def _listen(settings: Settings) -> socket.socket:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        raise CannotListen(error.errno, error.strerror or str(error)) from error


def listen(host: str, port: int) -> socket.socket:
    """Take an address.

    Raises:
        OSError: it is in use, not ours, or not an address.
    """
    flags = socket.AI_PASSIVE
    if host.startswith("[") and host.endswith("]"):  # as an address is written in a URL
        host = host[1:-1]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:  # "a..b": labels that no name can have
        raise OSError(errno.EINVAL, "not a host's name") from error
    family, kind, number, _, address = found[0]
    listener = socket.socket(family, kind, number)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _ears(listener: socket.socket) -> list[socket.socket]:
    """The listener several times over: uvloop accepts one connection of each per turn of the loop.

    A busy server's turns take long, and behind a flood of connections a probe would wait for one
    turn for each.
    """
    return [listener, *(listener.dup() for _ in range(_NUM_EARS - 1))]


def url_of(listener: socket.socket, *, is_tls: bool = False) -> str:
    """How a client on this host calls the server."""
    scheme = "https" if is_tls else "http"
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 -- compared, not bound
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _end_process() -> None:
    """End without waiting for the thread that loads, nor tripping over it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody may read them any more
            stream.flush()
    os._exit(0)


class Server(uvicorn.Server):
    """uvicorn, told when to end by a drain and not by the signal itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._logger = make_logger(settings)
        self._app = app = create_app(settings, None, logger=self._logger)
        self._lifecycle: Lifecycle = app.state.lifecycle
        self._stop = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(  # type: ignore[arg-type] # which uvicorn only calls
                    BoundedHttpProtocol,
                    max_connections=self._max_connections(),
                    held=HeldHeads(),
                ),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
                timeout_keep_alive=settings.keep_alive_seconds,
                timeout_graceful_shutdown=_FLUSH_SECONDS,
            )
        )

    async def run_to_end(
        self,
        listener: socket.socket,
        load: Callable[[], Sequence[AsyncEngine]],
        on_ready: OnReady | None = None,
    ) -> None:
        """Serve until told to stop, then drain.

        Raises:
            LoadError: an engine cannot be started.
            EngineDead: one has stopped by an error; those beside it were drained first.
        """
        metrics: Metrics = self._app.state.metrics
        with self._stopping_at_signals(), watching_loop(metrics.loop_was_late):
            serving = asyncio.create_task(self.serve(sockets=_ears(listener)))
            try:
                if engines := await self._load(load):
                    models = ServedModels.of(self._settings, engines)
                    try:
                        await self._serve_until_stopped(models, serving, listener, on_ready)
                    finally:
                        await asyncio.to_thread(models.close)  # one may be in the midst of a step
            finally:
                self.should_exit = True
                await serving
                await close_responses(self._app)

    def stop(self) -> None:
        """Begin the drain. Called on the event loop's thread."""
        self._stop.set()

    def _max_connections(self) -> int:
        """Some beyond the requests in progress, for those that are idle, refused, or probes."""
        num_wanted = 4 * self._settings.max_concurrent_requests + 256
        num_found = room_for_connections(num_wanted)
        if num_found < num_wanted:
            self._logger.warning(
                "few_connections",
                max_connections=num_found,
                wanted=num_wanted,
                advice="raise the limit of open files (ulimit -n)",
            )
        return num_found

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals begin a drain, see `_stopping_at_signals`

    async def _load(
        self, load: Callable[[], Sequence[AsyncEngine]]
    ) -> Sequence[AsyncEngine] | None:
        """The engines, or None if the server was told to stop before they were there."""
        loading = asyncio.create_task(run_in_daemon_thread(load))
        await self._first_of(loading)
        if loading.done():
            return loading.result()
        loading.cancel()
        atexit.register(_end_process)
        return None

    async def _serve_until_stopped(
        self,
        models: ServedModels,
        serving: asyncio.Task[None],
        listener: socket.socket,
        on_ready: OnReady | None,
    ) -> None:
        self._lifecycle.loaded(models)
        url = url_of(listener, is_tls=self._settings.tls_cert is not None)
        self._logger.info("serving", url=url, model=",".join(models.listed))
        if on_ready:
            on_ready(url, models)
        dying = asyncio.create_task(models.wait_until_one_is_dead())
        await self._first_of(serving, dying)
        is_dead = dying.done()
        dying.cancel()
        self._logger.info("draining", seconds=self._settings.drain_seconds)
        await models.drain(self._settings.drain_seconds)
        self.should_exit = True
        await serving  # until the last answers are out
        self._logger.info("stopped")
        if is_dead:
            raise EngineDead

    async def _first_of(self, *tasks: asyncio.Task[None] | asyncio.Task[object]) -> None:
        """Wait for a task to end or for being told to stop."""
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({*tasks, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()

    @contextlib.contextmanager
    def _stopping_at_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        is_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # as under nohup
        takes_hangups = bool(self._settings.api_keys_file) or not is_ignored
        if takes_hangups:
            loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            yield
        finally:
            if takes_hangups:
                loop.remove_signal_handler(signal.SIGHUP)
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)

    def _on_hangup(self) -> None:
        if self._settings.api_keys_file:
            self._reload_keys()
        elif not self._stop.is_set():
            advice = "SIGHUP reads keys again only where --api-keys-file is given"
            self._logger.warning("hangup", advice=advice)
            self.stop()

    def _reload_keys(self) -> None:
        keys: KeyRing = self._app.state.keys
        try:
            keys.reload()
        except InvalidConfigFile as error:
            self._logger.error("keys_not_reloaded", reason=str(error))  # noqa: TRY400 -- foreseen
        else:
            self._logger.info("keys_reloaded", num_keys=keys.num_keys)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            self._logger.warning("ended_at_once", signal=number.name)
            os._exit(128 + number)
        self.stop()
