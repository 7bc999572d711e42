"""A trial in another process tells what went wrong there, however it ended."""

from pathlib import Path

import pytest

from tercet_engine import _core
from tercet_engine.kernel_trial import try_kernels


def test_the_reference_agrees_with_itself() -> None:
    assert try_kernels("reference", Path(_core.__file__)) is None


def test_what_a_set_computes_wrongly_is_told(tmp_path: Path) -> None:
    extension = tmp_path / "core.py"
    extension.write_text("def self_test(kernels):\n    return f'{kernels}: rope differs'\n")

    assert try_kernels("amx", extension) == "amx: rope differs"


@pytest.mark.parametrize(("signal", "words"), [(4, "ended by signal 4"), (11, "signal 11")])
def test_instructions_that_kill_end_the_trial_alone(
    tmp_path: Path, signal: int, words: str
) -> None:
    extension = tmp_path / "core.py"
    extension.write_text(
        f"import os\ndef self_test(kernels):\n    os.kill(os.getpid(), {signal})\n"
    )

    assert words in str(try_kernels("amx", extension))
