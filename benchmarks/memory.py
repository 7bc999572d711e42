"""How long a server takes to load, and how much memory it holds with a full context.

    python -m benchmarks.memory --context 4096 --kv-types bf16,f32 --plot memory.svg

A real server loads a folder of random weights from files that are in the page cache, and is asked
for one completion that fills the context. Its memory is then read from /proc: what is its own, and
what is mapped from the checkpoint, which the system can take back.
"""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

from benchmarks.checkpoint import synthetic_folder
from benchmarks.common.client import complete, open_client
from benchmarks.common.host import Memory
from benchmarks.common.model import random_prompts
from benchmarks.common.plots import COLORS, MUTED, finish, new_figure
from benchmarks.common.script import Result, main, markdown, progress
from benchmarks.common.server import running_server

ANSWER_TOKENS = 16


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", default="2b4t", help="of the random weights (2b4t)")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--kv-types", default="bf16", help="between commas (bf16)")
    parser.add_argument("--arguments", default="", help="further flags of `tercet serve`")


def measure(options: argparse.Namespace) -> Result:
    folder = synthetic_folder(options.shape)
    _read(folder / "model.safetensors")
    kinds = options.kv_types.split(",")
    runs = [
        _run(folder, kind, options)
        for kind in progress(kinds, lambda kind: f"a server with {kind}")
    ]
    return {"shape": options.shape, "context": options.context, "runs": runs}


def _run(folder: Path, kv_type: str, options: argparse.Namespace) -> dict[str, Any]:
    context = options.context
    # One full context of keys and values, as the smallest server of this context has it.
    arguments = [str(folder), "--context", str(context), "--kv-type", kv_type]
    arguments += ["--max-sequences", "1", *options.arguments.split()]
    start = time.perf_counter()
    with running_server(arguments) as server:
        ready_seconds = time.perf_counter() - start
        loaded = Memory.of(server.pid)
        [prompt] = random_prompts(4000, context - ANSWER_TOKENS)
        if options.short:  # the memory is taken at start; a short prompt warms what is left
            prompt = prompt[:256]
        asyncio.run(_ask(server.url, prompt))
        return {
            "kv_type": kv_type,
            "ready_seconds": ready_seconds,
            "loaded": loaded.as_json(),
            "full": Memory.of(server.pid).as_json(),
        }


async def _ask(url: str, prompt: list[int]) -> None:
    async with open_client(url) as http:
        model = (await http.get("/v1/models")).json()["data"][0]["id"]
        answer = await complete(http, prompt, ANSWER_TOKENS, model=model)
        assert answer.is_whole, f"the server answered {answer.status}"


def _read(path: Path) -> None:
    """Bring a file into the page cache."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def table(result: Result) -> str:
    header = [f"{result['shape']}, context {result['context']}", "ready", "peak", "own", "mapped"]
    rows = [
        [
            f"keys and values in {run['kv_type']}",
            f"{run['ready_seconds']:.1f} s",
            *(f"{run['full'][key] / 1e6:.0f} MB" for key in ("peak", "anonymous", "file")),
        ]
        for run in result["runs"]
    ]
    return f"{markdown(header, rows)}\n\nThe peak counts mapped pages of the checkpoint too."


def plot(result: Result, path: Path) -> None:
    figure, (axes,) = new_figure(height=1.2 + 0.5 * len(result["runs"]))
    for index, run in enumerate(result["runs"]):
        own, mapped = run["full"]["anonymous"] / 1e6, run["full"]["file"] / 1e6
        label = index == 0
        axes.barh(run["kv_type"], own, color=COLORS[0], label="own" if label else None)
        name = "mapped from files" if label else None
        axes.barh(run["kv_type"], mapped, left=own, color=MUTED, label=name)
        axes.plot([run["full"]["peak"] / 1e6] * 2, [index - 0.4, index + 0.4], color=COLORS[1])
    axes.set_xlabel(f"MB with {result['context']} tokens; the line: the peak")
    finish(figure, path)


if __name__ == "__main__":
    main(__doc__, add_options, measure, table, plot)
