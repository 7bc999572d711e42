"""Several models loaded into one process, or none of them."""

import threading
from pathlib import Path

import pytest

from tercet_engine import (
    CheckpointError,
    CompletionRequest,
    EngineConfig,
    InvalidConfig,
    OutOfMemory,
    SamplingParams,
    Silent,
    find_model,
    load_engines,
)
from tercet_engine.async_engine import AsyncEngine
from tercet_engine.hub import ModelFolder

CONFIG = EngineConfig(num_threads=1, max_context=256)
EMBEDDED = find_model(None)


def silent(_name: str) -> None:
    return None


async def text_of(engine: AsyncEngine) -> str:
    prompt = tuple(engine.tokenizer.encode("Once upon a time"))
    params = SamplingParams(max_tokens=24, seed=7, temperature=1.0)
    (stream,) = engine.submit([CompletionRequest(prompt, params)])
    return "".join([delta.text async for delta in stream])


async def test_two_engines_of_one_model_answer_alike_and_side_by_side() -> None:
    first, second = load_engines({"a": EMBEDDED, "b": EMBEDDED}, CONFIG, silent)
    try:
        texts = [await text_of(first), await text_of(second)]
    finally:
        first.close()
        second.close()

    assert texts[0] == texts[1] != ""
    assert first.info.fingerprint == second.info.fingerprint
    assert first.info.kv_cache_bytes == second.info.kv_cache_bytes


def test_each_is_loaded_in_turn_and_tells_its_own_listener() -> None:
    told: list[str] = []

    class Listener(Silent):
        def __init__(self, name: str) -> None:
            self._name = name

        def start(self, total_bytes: int) -> None:
            told.append(f"{self._name} starts with {total_bytes > 0}")

        def finish(self) -> None:
            told.append(f"{self._name} ends")

    for engine in load_engines({"a": EMBEDDED, "b": EMBEDDED}, CONFIG, Listener):
        engine.close()

    assert told == ["a starts with True", "a ends", "b starts with True", "b ends"]


def test_what_does_not_fit_together_is_refused_before_anything_is_loaded() -> None:
    config = EngineConfig(num_threads=1, kv_cache_bytes=1 << 45)
    loaded: list[str] = []

    with pytest.raises(OutOfMemory, match=r"a: weights .*; b: weights .*; together .* exceed the"):
        load_engines({"a": EMBEDDED, "b": EMBEDDED}, config, loaded.append)
    assert loaded == []


def test_a_context_that_one_was_not_made_for_names_it() -> None:
    with pytest.raises(InvalidConfig, match="a: max_context is 4096; this model was made for"):
        load_engines({"a": EMBEDDED, "b": EMBEDDED}, EngineConfig(max_context=4096), silent)


def test_one_that_cannot_be_loaded_leaves_no_other_running(tmp_path: Path) -> None:
    for file in EMBEDDED.path.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "generation_config.json").unlink()
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": "x"}')
    threads = threading.active_count()
    begun: list[str] = []

    with pytest.raises(CheckpointError):
        load_engines({"a": EMBEDDED, "b": ModelFolder(tmp_path, "b")}, CONFIG, begun.append)
    assert begun == ["a", "b"]
    assert threading.active_count() == threads
