"""The run itself: a rehearsal, the soak, rest, and the end of everything that was started."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.soak.clients import client, ordinary
from benchmarks.soak.conversations import converse
from benchmarks.soak.lives import Lives
from benchmarks.soak.sample import Sample
from benchmarks.soak.server import SoakedServer, complaints
from benchmarks.soak.vandals import vandal
from benchmarks.soak.verdict import Run
from benchmarks.soak.watch import Watch

REHEARSAL_SECONDS: Final = 10.0
_LEAVING_SECONDS: Final = 60.0
_SETTLING_SECONDS: Final = 60.0
_REST_SECONDS: Final = 4.0
_SIGHUP_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        seconds: of traffic, after the rehearsal.
        clients: an eighth of them vandals; as many converse, and as many ask what has a seed.
        restart_seconds: of one life of the second server; 0: there is none.
        folder: for logs, samples and stores.
        model: None: the embedded one.
        arguments: further flags of `tercet serve`.
        seed: of what the clients think of.
    """

    seconds: float
    clients: int
    restart_seconds: float
    folder: Path
    model: str | None = None
    arguments: tuple[str, ...] = ()
    seed: int = 1


async def soak(plan: Plan, stop: asyncio.Event, told: Callable[[Sample, Run], None]) -> Run:
    """Run until the time is over or `stop` is set; returns what was seen in both cases."""
    run = Run()
    server = SoakedServer(plan.folder, "server", plan.model, "--threads", "1", *plan.arguments)
    second = SoakedServer(plan.folder, "second", plan.model, "--threads", "1", *plan.arguments)
    watch = Watch(server, run.tally, plan.folder / "samples.jsonl")
    await server.start()
    try:
        async with _traffic(plan, server, run):
            await _first(stop.wait(), REHEARSAL_SECONDS)
        run.before = await _at_rest(watch, run)
        watch.samples.clear()
        lives = Lives(second, run.seeded, run.tally)
        tasks: list[Coroutine[Any, Any, None]] = [
            watch.keep_looking(lambda sample: told(sample, run)),
            _reload_keys(server),
        ]
        if plan.restart_seconds:
            tasks.append(lives.go_on(plan.restart_seconds, random.Random(plan.seed)))
        run.samples = watch.samples
        async with _traffic(plan, server, run), _together(tasks, run, stop):
            await _first(stop.wait(), plan.seconds)
        run.ended, run.found = lives.ended, lives.found
        run.samples = list(watch.samples)
        run.after = await _at_rest(watch, run)
        run.status = await server.end()
    except (OSError, EOFError, RuntimeError) as error:
        run.tally.problem(f"the server: {error!r}")
    finally:
        server.kill()
        second.kill()
    logs = [one.log for one in (server, second) if one.log.exists()]
    run.complaints = [line for log in logs for line in complaints(log)]
    return run


@contextlib.asynccontextmanager
async def _traffic(plan: Plan, server: SoakedServer, run: Run) -> AsyncIterator[None]:
    """Clients meanwhile; in the end they finish what they are at, those who mean well."""
    leave = asyncio.Event()
    share = max(1, plan.clients // 8)
    kind_of = [vandal] * share + [converse] * share + [run.seeded.ask] * share
    kind_of += [ordinary] * max(1, plan.clients - len(kind_of))
    clients = [
        asyncio.create_task(client(deed, server.port, plan.seed * 1000 + index, run.tally, leave))
        for index, deed in enumerate(kind_of)
    ]
    try:
        yield
    finally:
        leave.set()
        _, left = await asyncio.wait(clients, timeout=_LEAVING_SECONDS)
        for one in left:
            one.cancel()
        if left and not server.has_ended:
            run.tally.problem(f"{len(left)} clients had no answer {_LEAVING_SECONDS:g} s later")
        await asyncio.gather(*clients, return_exceptions=True)


@contextlib.asynccontextmanager
async def _together(
    coroutines: list[Coroutine[Any, Any, None]], run: Run, stop: asyncio.Event
) -> AsyncIterator[None]:
    """What goes on beside the traffic. Whatever fails stops the run."""
    tasks = [asyncio.create_task(one) for one in coroutines]

    def failed(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()):
            run.tally.problem(f"the harness: {error!r}")
            stop.set()

    for task in tasks:
        task.add_done_callback(failed)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _reload_keys(server: SoakedServer) -> None:
    for generation in itertools.count(1):
        await asyncio.sleep(_SIGHUP_SECONDS)
        server.reload_keys(generation)


async def _at_rest(watch: Watch, run: Run) -> Sample:
    """The server once nothing is left, or as it is when that takes too long."""
    deadline = asyncio.get_running_loop().time() + _SETTLING_SECONDS
    while True:
        seen = await watch.look()
        is_quiet = not (seen.blocks or seen.running or seen.waiting) and seen.in_flight <= 1
        if is_quiet or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(1)
    first = await watch.look()
    await asyncio.sleep(_REST_SECONDS)
    last = await watch.look()
    run.idle_cpu = (last.cpu - first.cpu) / (last.at - first.at)
    return last


async def _first(waiting: Coroutine[Any, Any, Any], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(waiting, seconds)
