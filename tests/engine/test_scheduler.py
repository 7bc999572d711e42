"""A tiny pool, literal block ids: blocks are the language in which a scheduler is described."""

from collections.abc import Sequence as List

from tercet_engine.block_pool import BlockPool
from tercet_engine.completion import FinishReason
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.scheduler import Chunk, Scheduler
from tercet_engine.sequence import Sequence

BLOCK_SIZE = 4


def make_scheduler(
    pool: BlockPool,
    *,
    max_batch_tokens: int = 64,
    max_sequences: int = 8,
    prefix_cache: bool = True,
) -> Scheduler:
    return Scheduler(
        pool,
        max_batch_tokens=max_batch_tokens,
        max_sequences=max_sequences,
        prefix_cache=prefix_cache,
    )


def make_pool(num_blocks: int) -> BlockPool:
    return BlockPool(num_blocks, BLOCK_SIZE)


def sequence(tokens: List[int], *, max_tokens: int = 100, end_token: int = 99) -> Sequence:
    params = SamplingParams(max_tokens=max_tokens)
    return Sequence(0, list(tokens), params, max_tokens, frozenset({end_token}))


def step(scheduler: Scheduler, next_token: int = 0) -> list[tuple[Sequence, int]]:
    """Compute one batch, drawing the same token for everyone; say who computed how many."""
    batch = scheduler.schedule()
    computed = [(chunk.seq, chunk.num_tokens) for chunk in batch]
    scheduler.update(batch, [next_token for chunk in batch if chunk.is_last])
    scheduler.check_invariants()
    return computed


def run(scheduler: Scheduler, seq: Sequence) -> None:
    scheduler.add(seq)
    while not seq.finish_reason:
        step(scheduler)


def test_a_prompt_is_computed_at_once_when_the_budget_allows() -> None:
    scheduler = make_scheduler(make_pool(8))
    seq = sequence([1, 2, 3, 4, 5])
    scheduler.add(seq)

    assert step(scheduler) == [(seq, 5)]
    assert list(seq.block_table) == [0, 1]
    assert seq.tokens == [1, 2, 3, 4, 5, 0]


def test_a_long_prompt_is_computed_in_chunks_and_draws_nothing_before_its_end() -> None:
    scheduler = make_scheduler(make_pool(8), max_batch_tokens=3)
    seq = sequence([1, 2, 3, 4, 5, 6, 7])
    scheduler.add(seq)

    assert [step(scheduler), step(scheduler)] == [[(seq, 3)], [(seq, 3)]]
    assert seq.num_generated_tokens == 0
    assert step(scheduler) == [(seq, 1)]
    assert seq.num_generated_tokens == 1


def test_streams_advance_before_a_prompt_takes_what_is_left() -> None:
    scheduler = make_scheduler(make_pool(8), max_batch_tokens=4)
    stream = sequence([1, 2])
    scheduler.add(stream)
    step(scheduler)
    prompt = sequence([3, 4, 5, 6, 7])
    scheduler.add(prompt)

    assert step(scheduler) == [(stream, 1), (prompt, 3)]
    assert step(scheduler) == [(stream, 1), (prompt, 2)]


def test_no_more_sequences_run_than_are_allowed() -> None:
    scheduler = make_scheduler(make_pool(8), max_sequences=2)
    for _ in range(3):
        scheduler.add(sequence([1]))
    step(scheduler)

    assert (scheduler.num_running, scheduler.num_waiting) == (2, 1)


def test_the_line_is_served_in_order() -> None:
    scheduler = make_scheduler(make_pool(8), max_sequences=1)
    first, second = sequence([1], max_tokens=1), sequence([2], max_tokens=1)
    scheduler.add(first)
    scheduler.add(second)

    assert [step(scheduler), step(scheduler)] == [[(first, 1)], [(second, 1)]]


def test_a_stream_gets_a_new_block_when_its_last_is_full() -> None:
    scheduler = make_scheduler(make_pool(8))
    seq = sequence([1, 2, 3, 4])
    scheduler.add(seq)
    step(scheduler)
    assert list(seq.block_table) == [0]
    step(scheduler)

    assert list(seq.block_table) == [0, 1]


def test_a_second_prompt_reuses_the_full_blocks_of_the_first() -> None:
    scheduler = make_scheduler(make_pool(8))
    run(scheduler, sequence([1, 2, 3, 4, 5, 6, 7, 8, 9], max_tokens=1))
    second = sequence([1, 2, 3, 4, 5, 6, 7, 8, 10])
    scheduler.add(second)

    assert step(scheduler) == [(second, 1)]
    assert list(second.block_table)[:2] == [0, 1]
    assert second.num_cached_tokens == 8


def test_the_last_token_of_a_prompt_is_computed_even_if_all_are_cached() -> None:
    scheduler = make_scheduler(make_pool(8))
    run(scheduler, sequence([1, 2, 3, 4, 5, 6, 7, 8], max_tokens=1))
    again = sequence([1, 2, 3, 4, 5, 6, 7, 8])
    scheduler.add(again)

    assert step(scheduler) == [(again, 4)]


def test_generated_tokens_are_remembered_as_well_as_prompts() -> None:
    scheduler = make_scheduler(make_pool(8))
    run(scheduler, sequence([1, 2], max_tokens=3))  # computed: 1 2 0 0
    follow_up = sequence([1, 2, 0, 0, 7])
    scheduler.add(follow_up)

    assert step(scheduler) == [(follow_up, 1)]


def test_a_block_after_another_prefix_is_not_taken_for_the_same() -> None:
    scheduler = make_scheduler(make_pool(8))
    run(scheduler, sequence([1, 1, 1, 1, 5, 6, 7, 8, 9], max_tokens=1))
    other = sequence([2, 2, 2, 2, 5, 6, 7, 8, 9])
    scheduler.add(other)

    assert step(scheduler) == [(other, 9)]


def test_two_running_sequences_share_the_blocks_of_their_prefix() -> None:
    scheduler = make_scheduler(make_pool(4))
    first = sequence([1, 2, 3, 4, 5])
    scheduler.add(first)
    step(scheduler)
    second = sequence([1, 2, 3, 4, 6])
    scheduler.add(second)
    step(scheduler)

    assert (list(first.block_table), list(second.block_table)) == ([0, 1], [0, 2])


def test_without_a_prefix_cache_everything_is_computed() -> None:
    scheduler = make_scheduler(make_pool(8), prefix_cache=False)
    run(scheduler, sequence([1, 2, 3, 4, 5], max_tokens=1))
    again = sequence([1, 2, 3, 4, 5])
    scheduler.add(again)

    assert step(scheduler) == [(again, 5)]


def test_a_prompt_that_does_not_fit_waits_until_it_does() -> None:
    scheduler = make_scheduler(make_pool(3))
    first = sequence([1, 2, 3, 4, 5], max_tokens=2)
    second = sequence([6, 7, 8, 9, 10])
    scheduler.add(first)
    scheduler.add(second)

    assert step(scheduler) == [(first, 5)]
    assert step(scheduler) == [(first, 1)]
    assert step(scheduler) == [(second, 5)]


def test_the_last_admitted_gives_its_blocks_to_an_older_stream() -> None:
    scheduler = make_scheduler(make_pool(2))
    older, younger = sequence([1, 2, 3, 4]), sequence([5, 6])
    scheduler.add(older)
    scheduler.add(younger)
    step(scheduler)

    assert step(scheduler) == [(older, 1)]
    assert (list(older.block_table), list(younger.block_table)) == ([0, 1], [])
    assert younger.tokens == [5, 6, 0]
    assert scheduler.num_preemptions == 1


def test_a_preempted_sequence_is_the_next_to_run_and_computes_its_tokens_anew() -> None:
    scheduler = make_scheduler(make_pool(2))
    older, younger, waiting = sequence([1, 2, 3, 4], max_tokens=2), sequence([5, 6]), sequence([7])
    for seq in (older, younger):
        scheduler.add(seq)
    step(scheduler)
    scheduler.add(waiting)
    step(scheduler)

    assert step(scheduler) == [(younger, 3), (waiting, 1)]


def test_nobody_is_admitted_in_the_step_that_preempted() -> None:
    scheduler = make_scheduler(make_pool(3))
    older, younger = sequence([1, 2, 3, 4]), sequence([5, 6, 7, 8, 9])
    scheduler.add(older)
    scheduler.add(younger)
    step(scheduler)
    scheduler.add(sequence([3]))

    assert step(scheduler) == [(older, 1)]


def test_an_aborted_sequence_gives_its_blocks_back_at_once() -> None:
    pool = make_pool(4)
    scheduler = make_scheduler(pool)
    seq = sequence([1, 2, 3, 4, 5])
    scheduler.add(seq)
    step(scheduler)

    assert scheduler.abort(seq)
    assert pool.num_free_blocks == 4
    assert seq.finish_reason is FinishReason.ABORT


def test_a_waiting_sequence_can_be_aborted() -> None:
    scheduler = make_scheduler(make_pool(4))
    seq = sequence([1])
    scheduler.add(seq)

    assert scheduler.abort(seq)
    assert scheduler.schedule() == []


def test_aborting_a_finished_sequence_changes_nothing() -> None:
    scheduler = make_scheduler(make_pool(4))
    seq = sequence([1], max_tokens=1)
    run(scheduler, seq)

    assert not scheduler.abort(seq)
    assert seq.finish_reason is FinishReason.LENGTH


def test_an_end_token_finishes_a_sequence_and_frees_its_blocks() -> None:
    pool = make_pool(4)
    scheduler = make_scheduler(pool)
    seq = sequence([1, 2], end_token=7)
    scheduler.add(seq)
    step(scheduler, next_token=7)

    assert seq.finish_reason is FinishReason.STOP
    assert pool.num_free_blocks == 4
    assert scheduler.num_running == 0


def test_an_end_token_before_min_tokens_does_not_finish_a_sequence() -> None:
    params = SamplingParams(max_tokens=9, min_tokens=1)
    seq = Sequence(0, [1], params, 9, frozenset({7}))
    assert list(seq.forbidden_tokens) == [7]
    seq.append(7)
    assert seq.finish_reason is None
    assert list(seq.forbidden_tokens) == []
    seq.append(7)

    assert seq.finish_reason is FinishReason.STOP


def test_update_returns_only_sequences_that_got_a_token() -> None:
    scheduler = make_scheduler(make_pool(8), max_batch_tokens=3)
    stream, prompt = sequence([1]), sequence([2, 3, 4])
    scheduler.add(stream)
    scheduler.add(prompt)
    batch = scheduler.schedule()

    assert batch == [Chunk(stream, 1), Chunk(prompt, 2)]
    assert scheduler.update(batch, [0]) == [stream]
