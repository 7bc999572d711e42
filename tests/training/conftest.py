"""The recipe is no part of the wheel: it is found from the repository's root."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture
def rng() -> random.Random:
    """The same chance in every test."""
    return random.Random(7)
