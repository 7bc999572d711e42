"""The run over time: eight panels, with few enough points that the file stays small."""

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.common.plots import COLORS, MUTED, finish, new_figure
from benchmarks.soak.sample import Sample, lag_below
from benchmarks.soak.slope import robust_slope
from benchmarks.soak.verdict import Run, warm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUM_POINTS: Final = 60
_COLUMNS: Final = 4
_HEADROOM: Final = 1.6
"""Above what is drawn, for the names."""
_KINDS: Final = (
    ("chat", "structured", "tools", "seeded"),
    ("completions",),
    ("responses",),
    ("messages", "ollama"),
    ("embeddings", "decisions", "tokens", "pages"),
    ("malformed", "vandals"),
)
_Value = Callable[[Sample], float]


def draw_picture(run: Run, path: Path) -> None:
    """Draw all that was seen."""
    begun = run.samples[0].at
    samples = [replace(one, at=one.at - begun) for one in run.samples]
    figure, axes = new_figure(_COLUMNS, height=3.0, rows=2)
    panels = (_memory, _blocks, _files, _lags, _kinds, _statuses, _parts, _cpu)
    for panel, place in zip(panels, axes, strict=True):
        panel(place, samples)
        place.set_xlabel("minutes")
        place.set_ylim(bottom=0, top=_HEADROOM * place.get_ylim()[1])
    finish(figure, path, legends="upper right")


def _memory(axes: "Axes", samples: Sequence[Sample]) -> None:
    axes.set_title("resident memory, MB")
    _line(axes, samples, lambda one: one.rss / 1e6, "all", 0)
    judged = warm(samples)
    times, values = [one.at for one in judged], [one.rss / 1e6 for one in judged]
    if slope := robust_slope(times, values):
        middle = statistics.median(v - slope.value * t for t, v in zip(times, values, strict=True))
        ends = [times[0], times[-1]]
        label = f"{slope.value * 3600:+.1f} MB/h"
        axes.plot(
            [at / 60 for at in ends],
            [middle + slope.value * at for at in ends],
            linestyle="--",
            color=MUTED,
            label=label,
        )


def _parts(axes: "Axes", samples: Sequence[Sample]) -> None:
    axes.set_title("memory by who asked for it, MB")
    looked = [one for one in samples if one.parts]
    for index, name in enumerate(("other", "heap", "arenas", "files")):
        _line(axes, looked, _of_part(name), name, index)


def _blocks(axes: "Axes", samples: Sequence[Sample]) -> None:
    axes.set_title("KV cache and line")
    _line(axes, samples, lambda one: one.blocks, "blocks held", 0)
    _line(axes, samples, lambda one: one.running, "running", 1)
    _line(axes, samples, lambda one: one.waiting, "waiting", 2)


def _files(axes: "Axes", samples: Sequence[Sample]) -> None:
    axes.set_title("descriptors and threads")
    _line(axes, samples, lambda one: one.descriptors, "descriptors", 0)
    _line(axes, samples, lambda one: one.descriptors - one.sockets, "without sockets", 2)
    _line(axes, samples, lambda one: one.threads, "threads", 1)


def _lags(axes: "Axes", samples: Sequence[Sample]) -> None:
    axes.set_title("lateness, ms")
    groups = _groups(samples)
    times = [group[-1].at / 60 for group in groups[1:]]
    pairs = list(itertools.pairwise(groups))
    lags = [1e3 * lag_below(before[-1], after[-1], 0.99) for before, after in pairs]
    axes.plot(times, lags, color=COLORS[0], label="event loop, p99")
    _line(axes, samples, lambda one: one.health * 1e3, "/health", 1)
    _line(axes, samples, lambda one: one.fresh * 1e3, "/health on a new connection", 3)
    _line(axes, samples, lambda one: one.own_lag * 1e3, "harness", 2)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(top=axes.get_ylim()[1] ** _HEADROOM)


def _kinds(axes: "Axes", samples: Sequence[Sample]) -> None:
    axes.set_title("answers a second by what was asked")
    _rates(axes, samples, {", ".join(kinds): _of_kinds(kinds) for kinds in _KINDS})


def _statuses(axes: "Axes", samples: Sequence[Sample]) -> None:
    axes.set_title("answers a second by status")
    wanted: dict[str, _Value] = {
        str(status): _of_status(status)
        for status, count in sorted(samples[-1].statuses.items())
        if status in {200, 429, 499} or status >= 500
    }
    wanted["other 4xx"] = lambda one: sum(
        count for status, count in one.statuses.items() if 400 <= status < 499 and status != 429
    )
    _rates(axes, samples, wanted)


def _cpu(axes: "Axes", samples: Sequence[Sample]) -> None:
    axes.set_title("CPUs used; store, MB")
    groups = _groups(samples)
    used = [
        (after[-1].cpu - before[-1].cpu) / (after[-1].at - before[-1].at)
        for before, after in itertools.pairwise(groups)
    ]
    axes.plot([group[-1].at / 60 for group in groups[1:]], used, color=COLORS[0], label="CPUs")
    _line(axes, samples, lambda one: one.store / 1e6, "store", 1)


def _of_part(name: str) -> _Value:
    return lambda one: one.parts.get(name, 0) / 1e6


def _of_kinds(kinds: Sequence[str]) -> _Value:
    return lambda one: sum(one.kinds.get(kind, 0) for kind in kinds)


def _of_status(status: int) -> _Value:
    return lambda one: one.statuses.get(status, 0)


def _rates(axes: "Axes", samples: Sequence[Sample], values: dict[str, _Value]) -> None:
    """Stacked, a second."""
    groups = _groups(samples)
    pairs = [(b[-1], a[-1]) for b, a in itertools.pairwise(groups)]
    times = [after.at / 60 for _, after in pairs]
    layers = [
        [(value(after) - value(before)) / (after.at - before.at) for before, after in pairs]
        for value in values.values()
    ]
    colors = [COLORS[index % len(COLORS)] for index in range(len(layers))]
    axes.stackplot(times, layers, labels=list(values), colors=colors, linewidth=0)


def _line(axes: "Axes", samples: Sequence[Sample], value: _Value, label: str, index: int) -> None:
    """Medians, with the least and greatest of each group as a shadow."""
    groups = _groups(samples)
    times = [statistics.fmean(one.at for one in group) / 60 for group in groups]
    values = [[value(one) for one in group] for group in groups]
    color = COLORS[index % len(COLORS)]
    axes.plot(times, [statistics.median(group) for group in values], color=color, label=label)
    lows, highs = [min(group) for group in values], [max(group) for group in values]
    axes.fill_between(times, lows, highs, color=color, alpha=0.2, linewidth=0)


def _groups(samples: Sequence[Sample]) -> list[Sequence[Sample]]:
    size = max(1, len(samples) // _NUM_POINTS)
    return [samples[start : start + size] for start in range(0, len(samples), size)]
