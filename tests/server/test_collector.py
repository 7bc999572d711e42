"""The garbage collector does not look through what was there when serving began."""

import gc
import os
import signal

from tercet_server.runner import serve
from tercet_server.settings import load_settings
from tests.oracle.toy_engine import make_toy_engine


def test_what_stays_is_frozen_while_serving_and_collected_again_after() -> None:
    gc.collect()
    num_before = len(gc.get_objects())
    frozen: list[tuple[int, int]] = []

    def ready(*_: object) -> None:
        frozen.append((gc.get_freeze_count(), len(gc.get_objects())))
        os.kill(os.getpid(), signal.SIGTERM)

    settings = load_settings(port=0, log_level="error")
    assert serve(settings, load=lambda *_: [make_toy_engine()], on_ready=ready) == 0

    [(num_frozen, num_watched)] = frozen
    assert num_frozen > 0.9 * num_before
    assert num_watched < 0.1 * num_before
    assert gc.get_freeze_count() == 0
