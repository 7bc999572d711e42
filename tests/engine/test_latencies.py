from typing import Any

from tercet_engine.latencies import Latencies, Stopwatch


def seconds(latencies: Latencies, name: str) -> tuple[int, float]:
    counts = latencies.counts()[name]
    return sum(counts.counts), round(counts.total, 6)


def test_each_wait_is_counted_where_it_belongs(clock: Any) -> None:
    latencies = Latencies()
    watch = Stopwatch(latencies, clock)
    clock.pass_by(2)
    watch.started()
    clock.pass_by(1)
    watch.token()
    for _ in range(3):
        clock.pass_by(0.25)
        watch.token()
    watch.finished()

    assert watch.queue_seconds == 2
    assert seconds(latencies, "queue_seconds") == (1, 2)
    assert seconds(latencies, "first_token_seconds") == (1, 3)
    assert seconds(latencies, "between_tokens_seconds") == (3, 0.75)
    assert seconds(latencies, "total_seconds") == (1, 3.75)


def test_whoever_leaves_early_has_no_total(clock: Any) -> None:
    latencies = Latencies()
    Stopwatch(latencies, clock).token()
    assert seconds(latencies, "total_seconds") == (0, 0)
    assert seconds(latencies, "first_token_seconds") == (1, 0)
