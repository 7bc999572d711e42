"""How far loading has come, on a terminal and off it."""

import io

from rich.console import Console

from tercet_server.cli.progress import LoadingBar, LoadingLines
from tercet_server.cli.units import size, speed
from tests.conftest import FakeClock


def test_lines_come_at_the_start_now_and_then_and_at_the_end(clock: FakeClock) -> None:
    lines: list[str] = []
    progress = LoadingLines(lines.append, clock)

    progress.start(200_000_000)
    for _ in range(4):
        clock.pass_by(2.5)
        progress.advance(50_000_000, "a tensor")
    progress.finish()

    assert lines == ["loading 200 MB", "loading: 50 %", "loading: 100 %", "loaded in 10.0 s"]


def test_the_bar_shows_the_sum_and_leaves_nothing_behind_when_stopped_twice() -> None:
    output = io.StringIO()
    bar = LoadingBar(Console(file=output, force_terminal=True, width=80))

    bar.start(2_000_000)
    bar.advance(1_000_000, "a tensor")
    bar.finish()
    bar.finish()

    assert "1.0/2.0 MB" in output.getvalue()


def test_sizes_have_three_digits_and_a_unit() -> None:
    sizes = [0, 999, 1_000, 3_217_408, 87_756_800, 849_000_000, 999_999_999, 1_500_000_000]

    assert [size(n) for n in sizes] == [
        "0 B",
        "999 B",
        "1.00 kB",
        "3.22 MB",
        "87.8 MB",
        "849 MB",
        "1.00 GB",
        "1.50 GB",
    ]
    assert speed(15.6e9) == "15.6 GB/s"
