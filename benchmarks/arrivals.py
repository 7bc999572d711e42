"""Requests that arrive whether or not the server keeps up: latency and goodput by rate.

    python -m benchmarks.arrivals --rates 0.5,1,2 --seconds 60 --plot arrivals.svg
    python -m benchmarks.arrivals --model "" --rates 10,20,40        # the embedded model

An open loop: arrivals are Poisson, drawn from a seed before the run, and a request is timed from
when it was due, so that a server which stalls cannot slow its clients down and look better. Lengths
of prompts and answers are drawn between the given bounds, evenly by their logarithm. Goodput counts
the requests answered whole within both limits: to the first token, and between tokens on average.
"""

import argparse
import asyncio
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.checkpoint import synthetic_folder
from benchmarks.common.arithmetic import Percentiles, poisson_arrivals
from benchmarks.common.client import Answer, complete, open_client
from benchmarks.common.plots import finish, limit, new_figure, series
from benchmarks.common.script import Result, main, markdown, progress
from benchmarks.common.server import running_server


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="a running server; without it one is started")
    parser.add_argument("--model", default=None, help='random 2B4T; "": the embedded model')
    parser.add_argument("--rates", type=_numbers, help="requests per second (0.25,0.5,1,2)")
    parser.add_argument("--seconds", type=float, help="of arrivals at each rate (60; short: 20)")
    parser.add_argument("--prompt-tokens", type=_range, default=(32, 512), metavar="LOW-HIGH")
    parser.add_argument("--answer-tokens", type=_range, default=(16, 128), metavar="LOW-HIGH")
    parser.add_argument("--max-first-seconds", type=float, default=2.0, help="goodput's limit (2)")
    parser.add_argument("--max-between-seconds", type=float, default=0.2, help="the other (0.2)")
    parser.add_argument("--seed", type=int, default=1)


def measure(options: argparse.Namespace) -> Result:
    rates = options.rates or ([0.5, 1.0] if options.short else [0.25, 0.5, 1.0, 2.0])
    seconds = options.seconds or (20.0 if options.short else 60.0)
    if options.url:
        runs = _run_rates(options.url, options, rates, seconds)
    else:
        model = str(synthetic_folder("2b4t")) if options.model is None else options.model
        with running_server([model] if model else []) as server:
            runs = _run_rates(server.url, options, rates, seconds)
    return {
        "seconds": seconds,
        "seed": options.seed,
        "prompt_tokens": options.prompt_tokens,
        "answer_tokens": options.answer_tokens,
        "max_first_seconds": options.max_first_seconds,
        "max_between_seconds": options.max_between_seconds,
        "runs": runs,
    }


def _run_rates(
    url: str, options: argparse.Namespace, rates: list[float], seconds: float
) -> list[dict[str, Any]]:
    return [
        asyncio.run(_run(url, options, rate, seconds))
        for rate in progress(rates, lambda rate: f"{rate:g} requests per second")
    ]


async def _run(
    url: str, options: argparse.Namespace, rate: float, seconds: float
) -> dict[str, Any]:
    """One rate, until the last answer is there."""
    draw = random.Random(options.seed)
    async with open_client(url) as http:
        model = (await http.get("/v1/models")).json()["data"][0]["id"]
        begin = time.perf_counter()
        tasks = []
        for due in poisson_arrivals(rate, seconds, options.seed):
            await asyncio.sleep(max(0.0, begin + due - time.perf_counter()))
            prompt = draw.choices(range(4000), k=_drawn(draw, options.prompt_tokens))
            num_tokens = _drawn(draw, options.answer_tokens)
            request = complete(http, prompt, num_tokens, begin + due, model)
            tasks.append(asyncio.create_task(request))
        answers = await asyncio.gather(*tasks)
        elapsed = time.perf_counter() - begin
    return _summary(rate, answers, elapsed, options)


def _summary(
    rate: float, answers: list[Answer], elapsed: float, options: argparse.Namespace
) -> dict[str, Any]:
    whole = [answer for answer in answers if answer.is_whole]
    good = [
        answer
        for answer in whole
        if answer.first_token_seconds <= options.max_first_seconds
        and _mean_between(answer) <= options.max_between_seconds
    ]
    between = [gap for answer in whole for gap in answer.between_seconds]
    return {
        "rate": rate,
        "requests": len(answers),
        "refused": sum(answer.status == 429 for answer in answers),
        "failed": sum(answer.status not in {200, 429} for answer in answers),
        "tokens_per_second": sum(answer.num_tokens for answer in whole) / elapsed,
        "goodput": len(good) / elapsed,
        "first_token_seconds": Percentiles.of([a.first_token_seconds for a in whole]).as_json(),
        "between_seconds": Percentiles.of(between).as_json(),
        "total_seconds": Percentiles.of([a.total_seconds for a in whole]).as_json(),
    }


def _mean_between(answer: Answer) -> float:
    return (answer.total_seconds - answer.first_token_seconds) / max(1, answer.num_tokens - 1)


def _drawn(draw: random.Random, bounds: tuple[int, int]) -> int:
    low, high = bounds
    return round(math.exp(draw.uniform(math.log(low), math.log(high))))


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    bounds = int(low), int(high or low)
    if not 1 <= bounds[0] <= bounds[1]:
        sys.exit(f"{text} is no range of token counts: write 32-512")
    return bounds


def table(result: Result) -> str:
    header = ["requests/s", "answered", "tokens/s", "goodput/s", "first token", "between", "whole"]
    rows = []
    for run in result["runs"]:
        times = (run["first_token_seconds"], run["between_seconds"], run["total_seconds"])
        rows.append(
            [
                f"{run['rate']:g}",
                f"{run['requests'] - run['refused'] - run['failed']} of {run['requests']}",
                f"{run['tokens_per_second']:.1f}",
                f"{run['goodput']:.2f}",
                *(" / ".join(f"{t[p]:.3f}" for p in ("p50", "p90", "p99")) for t in times),
            ]
        )
    low, high = result["prompt_tokens"]
    least, most = result["answer_tokens"]
    return (
        f"{markdown(header, rows)}\n\nSeconds at p50 / p90 / p99. Prompts of {low}–{high} tokens, "
        f"answers of {least}–{most}; good: first token within {result['max_first_seconds']:g} s, "
        f"{result['max_between_seconds']:g} s a token on average."
    )


def plot(result: Result, path: Path) -> None:
    figure, (latency, goodput) = new_figure(2)
    rates = [run["rate"] for run in result["runs"]]
    names = {"first_token_seconds": "first token", "between_seconds": "between tokens"}
    for index, (key, name) in enumerate(names.items()):
        for share in ("p50", "p99"):
            values = [run[key][share] for run in result["runs"]]
            series(latency, rates, values, f"{name}, {share}", index)
            latency.lines[-1].set_linestyle("-" if share == "p50" else ":")
    latency.set_yscale("log")
    latency.set_ylabel("seconds")
    series(goodput, rates, [run["goodput"] for run in result["runs"]], "goodput", 2)
    limit(goodput, [0, *rates], [0, *rates], "all that is asked")
    goodput.set_ylabel("requests/s within the limits")
    for axes in (latency, goodput):
        axes.set_xlabel("requests arriving per second")
    finish(figure, path)


if __name__ == "__main__":
    main(__doc__, add_options, measure, table, plot)
