"""What the extension knows of the machine, models apart."""

from tercet_engine import _core


def measure_bandwidth(num_threads: int, num_bytes: int = 1 << 30, num_rounds: int = 8) -> float:
    """Measure the bytes per second read from memory, with several streams per thread."""
    return _core.measure_bandwidth(num_threads, num_bytes, num_rounds)


def tell_of_lost_pages() -> None:
    """From now on end with a sentence when a page of a mapped file is gone."""
    _core.tell_of_lost_pages()
