"""What models answer is written down, and every set of kernels gives those bytes.

`make test-emulated` asks the same of CPUs that this one is not.
"""

import pytest

from tercet_engine import _core
from tests.emulated.answers import digests, golden

SETS = [
    pytest.param(name, marks=[pytest.mark.slow] if name == "reference" else [])
    for name in _core.supported_kernels()
]


@pytest.mark.parametrize("kernels", SETS)
def test_answers_are_the_bytes_that_were_written_down(kernels: str) -> None:
    assert digests(kernels) == golden()
