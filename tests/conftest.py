"""Builders that several rooms' tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tercet_engine import AsyncEngine
from tests.oracle import goldens
from tests.oracle.toy_engine import make_toy_engine


@pytest.fixture
def toy_engines() -> Iterator[Callable[..., AsyncEngine]]:
    """Makes toy engines (the arguments are `make_toy_engine`'s) and closes them at the end."""
    engines: list[AsyncEngine] = []

    def make(*args: object, **kwargs: object) -> AsyncEngine:
        engines.append(make_toy_engine(*args, **kwargs))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def toy_engine(toy_engines: Callable[..., AsyncEngine]) -> AsyncEngine:
    """An engine over the toy runner, with its own thread, tokenizer and chat template."""
    return toy_engines()


@pytest.fixture(params=goldens.BITNETS)
def tiny_checkpoint(request: pytest.FixtureRequest) -> Path:
    """Each small checkpoint in the layout of bitnet-b1.58-2B-4T; it has no tokenizer."""
    return goldens.DATA / request.param


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a small checkpoint by its name in `goldens`."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return lambda name: goldens.unpack(name, folder)


class FakeClock:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
