"""Asks a running Prometheus every question of the dashboard: each must have an answer.

    python deploy/observe/check_dashboard.py http://127.0.0.1:9090
    python deploy/observe/check_dashboard.py http://127.0.0.1:9090 --plot panels.png --minutes 5

A metric that was renamed empties its panel without any error; here it is one. With --plot the
answers are drawn, panel by panel, where the dashboard has them.
"""

import argparse
import json
import math
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parent / "grafana/dashboards/tercet.json"
VARIABLES = {"$instance": ".*", "$model": ".*", "$__rate_interval": "30s"}
NUM_POINTS = 120

Panel = dict[str, Any]
Curve = tuple[str, list[float], list[float]]
"""Its name, the seconds before now, the values."""


def main() -> int:
    """Ask, tell, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of Prometheus")
    parser.add_argument("--minutes", type=float, default=5, help="how far back (5)")
    parser.add_argument("--plot", type=Path, help="a PNG to draw; needs matplotlib")
    options = parser.parse_args()
    panels = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if "targets" in panel]
    answers = [curves_of(options.url, panel, 60 * options.minutes) for panel in panels]
    empty = 0
    for panel, curves in zip(panels, answers, strict=True):
        for target, found in zip(panel["targets"], curves, strict=True):
            if not any(math.isfinite(value) for _, _, values in found for value in values):
                print(f"no data: {panel['title']}: {target['expr']}")
                empty += 1
    if options.plot:
        draw(panels, answers, options.plot)
    print(f"{sum(len(panel['targets']) for panel in panels)} queries, {empty} without an answer")
    return 1 if empty else 0


def curves_of(url: str, panel: Panel, seconds: float) -> list[list[Curve]]:
    """What the queries of a panel find."""
    return [query(url, target, seconds) for target in panel["targets"]]


def query(url: str, target: dict[str, str], seconds: float) -> list[Curve]:
    """Ask one query for the last so many seconds."""
    expression = target["expr"]
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    now = time.time()
    fields = {
        "query": expression,
        "start": now - seconds,
        "end": now,
        "step": seconds / NUM_POINTS,
    }
    address = f"{url}/api/v1/query_range?{urllib.parse.urlencode(fields)}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        results = json.load(answer)["data"]["result"]
    return [
        (
            name_of(target, result["metric"]),
            [moment - now for moment, _ in result["values"]],
            [float(value) for _, value in result["values"]],
        )
        for result in results
    ]


def name_of(target: dict[str, str], labels: dict[str, str]) -> str:
    """A curve's name as the panel's legend gives it."""
    name = target["legendFormat"]
    if name == "__auto":
        return ", ".join(
            f"{key}={labels[key]}" for key in ("instance", "model", "fingerprint") if key in labels
        )
    for label, value in labels.items():
        name = name.replace(f"{{{{{label}}}}}", value)
    return name


def draw(panels: list[Panel], answers: list[list[list[Curve]]], path: Path) -> None:
    """One small plot for each panel, where the dashboard has it."""
    import matplotlib as mpl  # noqa: PLC0415 -- only who draws needs it

    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 -- after the backend is chosen

    rows = sorted({panel["gridPos"]["y"] for panel in panels})
    figure = pyplot.figure(figsize=(18, 2.6 * len(rows)), layout="constrained")
    grid = figure.add_gridspec(len(rows), 24)
    for panel, curves in zip(panels, answers, strict=True):
        place = panel["gridPos"]
        axes = figure.add_subplot(
            grid[rows.index(place["y"]), place["x"] : place["x"] + place["w"]]
        )
        unit = panel["fieldConfig"]["defaults"]["unit"]
        axes.set_title(
            panel["title"] if unit == "short" else f"{panel['title']} [{unit}]", fontsize=9
        )
        for name, times, values in (curve for found in curves for curve in found):
            axes.plot(times, values, label=name, linewidth=1)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=7)
        if any(name for found in curves for name, _, _ in found):
            axes.legend(fontsize=6, loc="upper left")
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    sys.exit(main())
