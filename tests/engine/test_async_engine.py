import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tercet_engine import (
    AsyncEngine,
    CompletionDelta,
    CompletionRequest,
    CompletionStream,
    EngineConfig,
    EngineDead,
    EngineDraining,
    EngineOverloaded,
    FinishReason,
    InvalidSamplingParams,
    InvalidToken,
    Pooling,
    PromptEmpty,
    PromptTooLong,
    SamplingParams,
    Tokenizer,
    TooManyChoices,
    WaitedTooLong,
)
from tests.oracle.toy_engine import EOT, VOCAB_SIZE

Engines = Callable[..., AsyncEngine]


def request(text: str = "hello", *, choice: int = 0, **params: object) -> CompletionRequest:
    tokens = tuple(text.encode())
    return CompletionRequest(tokens, SamplingParams(**params), choice)


async def read(stream: CompletionStream) -> list[CompletionDelta]:
    return [delta async for delta in stream]


async def text_of(engine: AsyncEngine, asked: CompletionRequest) -> str:
    (stream,) = engine.submit([asked])
    return "".join(delta.text for delta in await read(stream))


class Gate:
    """Lets a step begin only when the test says so."""

    def __init__(self, num_open: int = 0) -> None:
        self._steps = threading.Semaphore(num_open)

    def __call__(self) -> None:
        assert self._steps.acquire(timeout=30)

    def open(self, num_steps: int = 10_000) -> None:
        self._steps.release(num_steps)


class Breakdown:
    """Fails in the given step."""

    def __init__(self, step: int) -> None:
        self.num_left = step

    def __call__(self) -> None:
        self.num_left -= 1
        if self.num_left == 0:
            message = "no more memory"
            raise MemoryError(message)


async def test_a_stream_ends_with_its_only_finish_reason(toy_engine: AsyncEngine) -> None:
    (stream,) = toy_engine.submit([request(max_tokens=20, ignore_eos=True)])
    deltas = await read(stream)

    assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert deltas[-1].finish_reason is FinishReason.LENGTH
    assert sum(len(delta.token_ids) for delta in deltas) == stream.num_generated_tokens == 20


async def test_the_end_token_is_counted_but_is_no_text(toy_engines: Engines) -> None:
    engine = toy_engines(end_every=1)
    (stream,) = engine.submit([request(max_tokens=5)])

    assert await read(stream) == [CompletionDelta("", (EOT,), FinishReason.STOP)]


async def test_a_stop_token_of_the_clients_is_counted_but_is_no_text(
    toy_engine: AsyncEngine,
) -> None:
    (letter,) = toy_engine.tokenizer.encode("e", add_special_tokens=False)
    asked = request(max_tokens=300, ignore_eos=True, stop_token_ids=frozenset({letter}))
    (stream,) = toy_engine.submit([asked])
    deltas = await read(stream)

    assert deltas[-1].finish_reason is FinishReason.STOP
    assert deltas[-1].token_ids[-1] == letter
    assert "e" not in "".join(delta.text for delta in deltas)


async def test_the_same_request_gives_the_same_text_alone_and_among_others(
    toy_engine: AsyncEngine,
) -> None:
    alone = await text_of(toy_engine, request(seed=1, max_tokens=50))
    many = [request(f"hello{i}", seed=i, max_tokens=50) for i in range(12)]
    streams = toy_engine.submit([*many, request(seed=1, max_tokens=50)])
    texts = await asyncio.gather(*map(read, streams))

    assert "".join(delta.text for delta in texts[-1]) == alone


async def test_a_stop_string_ends_a_text_that_comes_several_tokens_at_a_time(
    toy_engines: Engines,
) -> None:
    """A text of one letter is guessed right, and a step of 5 ms makes guesses worth their while."""
    engine = toy_engines(letters="e", end_every=0, before_step=lambda: time.sleep(0.005))
    asked = [request("ee", max_tokens=200, stop=("e" * length,)) for length in (30, 45)]
    texts = [await text_of(engine, one) for one in asked]

    assert texts == ["", ""]
    await engine.check_invariants()
    assert engine.stats().num_running == 0


async def test_all_tokens_of_a_text_arrive_that_comes_several_at_a_time(
    toy_engines: Engines,
) -> None:
    engine = toy_engines(letters="e", end_every=0, before_step=lambda: time.sleep(0.005))
    (stream,) = engine.submit([request("ee", max_tokens=101)])
    deltas = await read(stream)

    assert "".join(delta.text for delta in deltas) == "e" * 101
    assert deltas[-1].finish_reason is FinishReason.LENGTH
    assert stream.num_generated_tokens == 101


async def test_choices_of_one_request_differ(toy_engine: AsyncEngine) -> None:
    asked = [request(seed=1, choice=choice, max_tokens=30) for choice in range(3)]
    texts = [await text_of(toy_engine, one) for one in asked]

    assert len(set(texts)) == 3


async def test_without_max_tokens_the_context_is_the_limit(toy_engines: Engines) -> None:
    engine = toy_engines(max_context=64)
    (stream,) = engine.submit([request("hello", ignore_eos=True)])
    await read(stream)

    assert stream.num_generated_tokens == 64 - 5


async def test_a_second_prompt_is_read_from_the_prefix_cache(toy_engine: AsyncEngine) -> None:
    prompt = "a prompt of more than thirty-two tokens"
    await text_of(toy_engine, request(prompt, max_tokens=1))
    (stream,) = toy_engine.submit([request(prompt, max_tokens=1)])
    await read(stream)

    assert (stream.num_prompt_tokens, stream.num_cached_tokens) == (39, 32)


async def test_a_stop_string_ends_the_stream_and_the_computation(toy_engine: AsyncEngine) -> None:
    whole = await text_of(toy_engine, request(max_tokens=300, ignore_eos=True))
    stop = whole[40:44]
    (stream,) = toy_engine.submit([request(max_tokens=300, ignore_eos=True, stop=(stop,))])
    deltas = await read(stream)
    await toy_engine.check_invariants()

    assert "".join(delta.text for delta in deltas) == whole[: whole.index(stop)]
    assert deltas[-1].finish_reason is FinishReason.STOP
    assert toy_engine.stats().num_running == 0
    assert (toy_engine.stats().num_finished, toy_engine.stats().num_aborted) == (2, 0)


async def test_an_aborted_stream_stops_and_can_be_aborted_again(toy_engine: AsyncEngine) -> None:
    (stream,) = toy_engine.submit([request(ignore_eos=True)])
    await anext(stream)
    stream.abort()
    stream.abort()

    assert await read(stream) == []


async def test_blocks_of_aborted_streams_are_back_before_the_next_step(
    toy_engine: AsyncEngine,
) -> None:
    streams = toy_engine.submit([request(ignore_eos=True) for _ in range(10)])
    await anext(streams[0])
    for stream in streams:
        await stream.aclose()
    await toy_engine.check_invariants()

    stats = toy_engine.stats()
    assert (stats.num_running, stats.num_waiting, stats.num_aborted) == (0, 0, 10)
    assert stats.num_free_blocks == stats.num_blocks


async def test_aborting_one_stream_leaves_the_others_alone(toy_engine: AsyncEngine) -> None:
    alone = await text_of(toy_engine, request(seed=5, max_tokens=60))
    victim, other = toy_engine.submit([request("bye"), request(seed=5, max_tokens=60)])
    await anext(victim)
    victim.abort()

    assert "".join(delta.text for delta in await read(other)) == alone


async def test_a_slow_reader_gets_everything_in_one_piece_and_delays_nobody(
    toy_engine: AsyncEngine,
) -> None:
    slow, quick = toy_engine.submit([request(max_tokens=50, ignore_eos=True)] * 2)
    quick_deltas = await read(quick)
    slow_deltas = await read(slow)

    assert len(slow_deltas) == 1
    assert slow_deltas[0].text == "".join(delta.text for delta in quick_deltas)


async def test_a_full_line_refuses_and_says_when_to_come_back(toy_engines: Engines) -> None:
    gate = Gate()
    config = EngineConfig(max_sequences=2, max_waiting_requests=3)
    engine = toy_engines(config, before_step=gate)
    streams = engine.submit([request(max_tokens=2)] * 5)

    with pytest.raises(EngineOverloaded, match="at most 3 requests may wait") as caught:
        engine.submit([request()])
    assert 1 <= caught.value.retry_after_seconds <= 120
    gate.open()
    await asyncio.gather(*map(read, streams))
    assert await text_of(engine, request(max_tokens=2))
    assert engine.stats().num_refused == 1


async def test_a_request_is_refused_whole_or_not_at_all(toy_engines: Engines) -> None:
    gate = Gate()
    config = EngineConfig(max_sequences=1, max_waiting_requests=2)
    engine = toy_engines(config, before_step=gate)
    engine.submit([request()] * 2)

    with pytest.raises(EngineOverloaded):
        engine.submit([request()] * 2)
    engine.submit([request()])
    gate.open()


async def test_waiting_prompt_tokens_are_bounded(toy_engines: Engines) -> None:
    gate = Gate()
    engine = toy_engines(EngineConfig(max_waiting_tokens=8), before_step=gate)
    engine.submit([request("a prompt of its own may be longer")])

    with pytest.raises(EngineOverloaded, match="at most 8 prompt tokens may wait"):
        engine.submit([request("x")])
    gate.open()


async def test_aborting_a_waiting_stream_makes_place_in_the_line(toy_engines: Engines) -> None:
    gate = Gate()
    config = EngineConfig(max_sequences=1, max_waiting_requests=0, max_waiting_tokens=0)
    engine = toy_engines(config, before_step=gate)
    (stream,) = engine.submit([request()])
    stream.abort()

    assert len(engine.submit([request()])) == 1
    gate.open()


async def test_more_choices_than_could_ever_fit_are_refused_for_good(toy_engines: Engines) -> None:
    engine = toy_engines(EngineConfig(max_sequences=1, max_waiting_requests=2))

    with pytest.raises(TooManyChoices, match="asks for 4 completions; at most 3"):
        engine.submit([request()] * 4)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (CompletionRequest((), SamplingParams()), PromptEmpty, "no tokens"),
        (request("x" * 512), PromptTooLong, "prompt has 512 tokens.* context is 512"),
        (request("x" * 500, max_tokens=13), PromptTooLong, "513 together.* at most 12"),
        (CompletionRequest((VOCAB_SIZE,), SamplingParams()), InvalidToken, "token id 259"),
        (CompletionRequest((-1,), SamplingParams()), InvalidToken, "token id -1"),
        (request(logit_bias={259: 1.0}), InvalidSamplingParams, "logit_bias takes token ids"),
        (request(stop_token_ids=frozenset({-5})), InvalidSamplingParams, "got -5"),
        (
            CompletionRequest((1,), SamplingParams(max_tokens=2), pooling=Pooling.MEAN),
            InvalidSamplingParams,
            "max_tokens must be 0 where an embedding is asked for",
        ),
    ],
)
async def test_what_can_never_be_served_is_refused_at_once(
    toy_engine: AsyncEngine, bad: CompletionRequest, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        toy_engine.submit([request(), bad])
    assert toy_engine.stats().num_waiting == toy_engine.stats().num_running == 0


async def test_a_prompt_and_answer_that_just_fit_are_served(toy_engine: AsyncEngine) -> None:
    (stream,) = toy_engine.submit([request("x" * 500, max_tokens=12, ignore_eos=True)])
    await read(stream)

    assert stream.num_generated_tokens == 12


async def test_when_the_engine_dies_every_stream_hears_of_it(toy_engines: Engines) -> None:
    engine = toy_engines(before_step=Breakdown(step=3))
    streams = engine.submit([request(ignore_eos=True)] * 3)

    for stream in streams:
        with pytest.raises(EngineDead):
            await read(stream)
    with pytest.raises(EngineDead):
        engine.submit([request()])
    with pytest.raises((EngineDead, AssertionError)):
        await engine.check_invariants()


async def test_a_token_that_cannot_be_handed_over_ends_the_service_and_not_the_text(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Tokenizer, token: int) -> bytes:
        raise LookupError

    monkeypatch.setattr(Tokenizer, "token_bytes", fail)
    (stream,) = toy_engine.submit([request()])

    with pytest.raises(EngineDead):
        await read(stream)
    with pytest.raises(EngineDead):
        toy_engine.submit([request()])


async def test_draining_lets_streams_finish_and_admits_nobody(toy_engines: Engines) -> None:
    gate = Gate()
    engine = toy_engines(before_step=gate)
    (stream,) = engine.submit([request(max_tokens=3, ignore_eos=True)])
    drained = asyncio.create_task(engine.drain(30))
    await asyncio.sleep(0)

    with pytest.raises(EngineDraining):
        engine.submit([request()])
    gate.open()
    await drained
    assert (await read(stream))[-1].finish_reason is FinishReason.LENGTH


async def test_draining_ends_the_streams_that_outlast_the_deadline(toy_engines: Engines) -> None:
    gate = Gate(num_open=1)
    engine = toy_engines(before_step=gate)
    (stream,) = engine.submit([request(ignore_eos=True)])
    await anext(stream)
    await engine.drain(0)

    with pytest.raises(EngineDraining):
        await read(stream)
    gate.open()
    await engine.check_invariants()
    assert engine.stats().num_free_blocks == engine.stats().num_blocks


async def test_draining_an_idle_engine_returns_at_once(toy_engine: AsyncEngine) -> None:
    await toy_engine.drain(1e9)


async def test_closing_ends_open_streams_and_gives_the_runner_back(toy_engine: AsyncEngine) -> None:
    (stream,) = toy_engine.submit([request(ignore_eos=True)])
    toy_engine.close()

    with pytest.raises(EngineDraining):
        await read(stream)
    with pytest.raises(EngineDraining):
        toy_engine.submit([request()])
    with pytest.raises(EngineDead):
        await toy_engine.check_invariants()


async def test_the_loop_is_free_while_the_engine_computes(toy_engines: Engines) -> None:
    gate = Gate()
    engine = toy_engines(before_step=gate)
    (stream,) = engine.submit([request(max_tokens=1)])
    await asyncio.sleep(0)
    gate.open()

    assert len(await read(stream)) == 1


async def test_min_tokens_keeps_a_stream_going(toy_engines: Engines) -> None:
    engine = toy_engines(end_every=2)
    (stream,) = engine.submit([request(min_tokens=30, max_tokens=200)])
    deltas = await read(stream)

    assert stream.num_generated_tokens > 30
    assert deltas[-1].finish_reason is FinishReason.STOP


def test_an_engine_serves_one_event_loop_after_another(toy_engine: AsyncEngine) -> None:
    first = asyncio.run(text_of(toy_engine, request(max_tokens=5)))

    assert asyncio.run(text_of(toy_engine, request(max_tokens=5))) == first


def test_an_engine_survives_a_loop_that_leaves_in_the_middle(toy_engine: AsyncEngine) -> None:
    async def leave() -> None:
        (stream,) = toy_engine.submit([request(max_tokens=400, ignore_eos=True)])
        await anext(stream)
        stream.abort()

    asyncio.run(leave())

    assert asyncio.run(text_of(toy_engine, request(max_tokens=5)))


async def test_whoever_waits_too_long_is_sent_away_and_computes_nothing(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = threading.Event()
    config = EngineConfig(max_batch_tokens=8, max_sequences=1, max_queue_seconds=0.05)
    engine = toy_engines(config, before_step=lambda: gate.wait(20))
    (first,) = engine.submit([CompletionRequest([1, 2], SamplingParams(max_tokens=2))])
    await first.until_started()
    (second,) = engine.submit([CompletionRequest([1, 2], SamplingParams(max_tokens=2))])

    with pytest.raises(WaitedTooLong, match=r"may wait 0.05 s") as caught:
        await second.until_started()
    gate.set()
    assert caught.value.retry_after_seconds >= 1
    assert [delta.finish_reason async for delta in first][-1] is not None
    await engine.check_invariants()
    stats = engine.stats()
    assert stats.refusals["queue_time"] == stats.num_refused == 1
    assert stats.num_waiting_tokens == 0
    assert first.queue_seconds is not None
    assert sum(stats.histograms["queue_seconds"].counts) == 1


async def test_a_request_of_which_a_part_has_begun_may_wait_on(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    config = EngineConfig(max_batch_tokens=8, max_sequences=1, max_queue_seconds=0.05)
    engine = toy_engines(config, before_step=lambda: time.sleep(0.02), end_every=0)
    asked = CompletionRequest([1, 2], SamplingParams(max_tokens=5))
    streams = engine.submit([asked, replace(asked, choice=1)])
    for stream in streams:
        assert [delta async for delta in stream][-1].finish_reason is FinishReason.LENGTH
    assert sum(engine.stats().histograms["queue_seconds"].counts) == 2


async def test_steps_and_waits_are_counted(toy_engine: AsyncEngine) -> None:
    asked = CompletionRequest([1, 2, 3], SamplingParams(max_tokens=4, ignore_eos=True))
    (stream,) = toy_engine.submit([asked])
    _ = [delta async for delta in stream]
    found = {name: sum(h.counts) for name, h in toy_engine.stats().histograms.items()}
    assert found["first_token_seconds"] == found["total_seconds"] == found["queue_seconds"] == 1
    assert found["between_tokens_seconds"] == 3
    assert found["step_tokens"] == found["step_seconds"] == found["step_sequences"] >= 1
