"""Servers over the toy engine: in the test's own loop, or behind a real socket."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tercet_engine import AsyncEngine, EngineConfig, load_engine
from tercet_server.app import close_responses, create_app
from tercet_server.logs import make_logger
from tercet_server.runner import Server, listen
from tercet_server.served_models import ServedModels
from tercet_server.settings import Settings, load_settings
from tests.server.browser import CHROMIUM, Visit, Visitor

CHAT = {"messages": [{"role": "user", "content": "hello"}], "temperature": 0}
TEXT = {"prompt": "once upon", "temperature": 0}


@dataclass(frozen=True)
class Service:
    """A server without a socket, and what it has logged."""

    client: httpx.AsyncClient
    log: io.StringIO
    app: Any

    async def chat(self, **fields: Any) -> httpx.Response:
        return await self.client.post("/v1/chat/completions", json={**CHAT, **fields})

    async def respond(self, **fields: Any) -> httpx.Response:
        body = {"input": "hello", "temperature": 0, **fields}
        return await self.client.post("/v1/responses", json=body)

    async def complete(self, **fields: Any) -> httpx.Response:
        return await self.client.post("/v1/completions", json={**TEXT, **fields})

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def settings_of(**fields: Any) -> Settings:
    return load_settings(**{"log_format": "json", **fields})


@contextlib.asynccontextmanager
async def serving(*engines: AsyncEngine, **fields: Any) -> AsyncIterator[Service]:
    """The whole application, called without a socket. Without engines it is still loading."""
    log = io.StringIO()
    settings = settings_of(**fields)
    served = ServedModels.of(settings, engines) if engines else None
    app = create_app(settings, served, logger=make_logger(settings, log))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        try:
            yield Service(client, log, app)
        finally:
            await close_responses(app)


@pytest.fixture
async def service(toy_engine: AsyncEngine) -> AsyncIterator[Service]:
    async with serving(toy_engine) as service:
        yield service


@pytest.fixture(scope="module")
def embedded_engine() -> Iterator[AsyncEngine]:
    """The embedded model, for what only a real one can show."""
    engine = load_engine(config=EngineConfig(num_threads=1, max_context=1024))
    yield engine
    engine.close()


@pytest.fixture
async def embedded(embedded_engine: AsyncEngine) -> AsyncIterator[Service]:
    async with serving(embedded_engine) as service:
        yield service


@dataclass(frozen=True)
class Live:
    """A server behind a real socket."""

    url: str
    server: Server
    task: asyncio.Task[None]
    engines: tuple[AsyncEngine, ...]

    @property
    def engine(self) -> AsyncEngine:
        """The only one, or the first."""
        return self.engines[0]


@contextlib.asynccontextmanager
async def listening(*engines: AsyncEngine, **fields: Any) -> AsyncIterator[Live]:
    """The whole server on a free port of the loopback; drained at the end."""
    listener = listen("127.0.0.1", 0)
    server = Server(settings_of(log_level="error", **fields))
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        server.run_to_end(listener, lambda: engines, lambda url, _models: ready.set_result(url))
    )
    url = await ready
    try:
        yield Live(url, server, task, engines)
    finally:
        server.stop()
        await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what is about to happen; the test's own timeout says when it does not."""
    while not condition():  # noqa: ASYNC110 -- nobody could set an event
        await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium was found; apt install chromium, or name one in CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Visit]:
    """Makes visitors; at the end none may have had anything to complain of."""
    visitors: list[Visitor] = []

    def begin(url: str, **options: Any) -> Visitor:
        page = chromium.new_context(**options).new_page()
        visitors.append(Visitor(page, url))
        return visitors[-1]

    yield begin
    for visitor in visitors:
        visitor.page.context.close()
        assert visitor.complaints == []
        assert visitor.strangers == []
