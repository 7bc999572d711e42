"""A tiny pool, literal block ids: blocks are the language in which a scheduler is described."""

from array import array
from collections.abc import Callable
from collections.abc import Sequence as List

from tercet_engine.block_pool import BlockPool
from tercet_engine.completion import FinishReason
from tercet_engine.pace import MIN_CHUNK
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.scheduler import Advance, Chunk, Scheduler
from tercet_engine.sequence import Sequence

BLOCK_SIZE = 4


def make_scheduler(
    pool: BlockPool,
    *,
    max_batch_tokens: int = 64,
    max_sequences: int = 8,
    prefix_cache: bool = True,
    max_outputs: int = 0,
    max_step_seconds: float | None = None,
) -> Scheduler:
    return Scheduler(
        pool,
        max_batch_tokens=max_batch_tokens,
        max_sequences=max_sequences,
        prefix_cache=prefix_cache,
        max_outputs=max_outputs,
        max_step_seconds=max_step_seconds,
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
    scheduler.update(batch, [next_token] * sum(chunk.num_outputs for chunk in batch))
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


def test_a_block_begun_by_a_prompt_is_remembered_once_the_answer_has_filled_it() -> None:
    scheduler = make_scheduler(make_pool(8))
    run(scheduler, sequence([1, 2, 3, 4, 5], max_tokens=4))  # computed: 1 2 3 4, 5 0 0 0
    follow_up = sequence([1, 2, 3, 4, 5, 0, 0, 0, 7])
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
    older, younger = sequence([1, 2, 3]), sequence([5, 6, 7])
    scheduler.add(older)
    scheduler.add(younger)
    step(scheduler)
    step(scheduler)

    assert step(scheduler) == [(older, 1)]
    assert (list(older.block_table), list(younger.block_table)) == ([0, 1], [])
    assert younger.tokens == [5, 6, 7, 0, 0]
    assert scheduler.num_preemptions == 1


def test_a_preempted_sequence_is_the_next_to_run_and_computes_its_tokens_anew() -> None:
    scheduler = make_scheduler(make_pool(2))
    older, younger, waiting = sequence([1, 2, 3], max_tokens=3), sequence([5, 6]), sequence([7])
    scheduler.add(older)
    step(scheduler)
    scheduler.add(younger)
    step(scheduler)
    scheduler.add(waiting)
    step(scheduler)

    assert younger.block_table == waiting.block_table == array("i")
    assert step(scheduler) == [(younger, 3), (waiting, 1)]


def test_who_is_preempted_while_answering_is_first_in_line_however_long_its_prompt() -> None:
    scheduler = make_scheduler(make_pool(4))
    run(scheduler, sequence([5] * 9, max_tokens=1))
    older, younger, short = sequence([1, 2, 3], max_tokens=3), sequence([5] * 9), sequence([7])
    scheduler.add(older)
    step(scheduler)
    scheduler.add(younger)  # of whose turn eight tokens were cached and passed in no time
    step(scheduler)
    scheduler.add(short)

    assert [step(scheduler), scheduler.num_preemptions] == [[(older, 1)], 1]
    assert [seq for seq, _ in step(scheduler)] == [younger, short]


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
    assert list(seq.forbidden_tokens()) == [7]
    seq.append(7)
    assert seq.finish_reason is None
    assert list(seq.forbidden_tokens()) == []
    seq.append(7)

    assert seq.finish_reason is FinishReason.STOP


def test_update_returns_only_sequences_that_got_a_token() -> None:
    scheduler = make_scheduler(make_pool(8), max_batch_tokens=3)
    stream, prompt = sequence([1]), sequence([2, 3, 4])
    scheduler.add(stream)
    scheduler.add(prompt)
    batch = scheduler.schedule()

    assert batch == [Chunk(stream, 1), Chunk(prompt, 2)]
    assert scheduler.update(batch, [0]) == [Advance(stream, first_row=0, num_tokens=1)]


def test_a_short_prompt_overtakes_a_long_one_in_progress() -> None:
    scheduler = make_scheduler(make_pool(16), max_batch_tokens=8)
    long, short = sequence(list(range(40))), sequence([1, 2, 3])
    scheduler.add(long)
    step(scheduler)
    scheduler.add(short)

    assert step(scheduler) == [(short, 3), (long, 5)]
    assert step(scheduler) == [(short, 1), (long, 7)]


def test_nobody_overtakes_a_prompt_that_has_waited_for_as_many_tokens_as_it_is_longer() -> None:
    scheduler = make_scheduler(make_pool(64), max_batch_tokens=8)
    long = sequence([50] * 20)
    scheduler.add(long)
    scheduled = []
    for number in range(4):  # in every step there are enough short prompts to fill it
        scheduler.add(sequence([number] * 8, max_tokens=1))
        scheduled.append(step(scheduler)[0])

    assert [seq is long for seq, _ in scheduled] == [False, False, True, True]


def test_a_short_prompt_that_waits_is_admitted_before_a_long_one() -> None:
    scheduler = make_scheduler(make_pool(64), max_batch_tokens=8, max_sequences=1)
    running, long, short = sequence([0], max_tokens=1), sequence([1] * 20), sequence([2] * 3)
    for seq in (running, long, short):
        scheduler.add(seq)
    step(scheduler)

    assert step(scheduler) == [(short, 3)]


def test_who_is_short_of_blocks_lets_nobody_behind_it_have_them() -> None:
    scheduler = make_scheduler(make_pool(3))
    running, large, larger = sequence([1] * 5), sequence([2] * 8), sequence([3] * 9)
    scheduler.add(running)
    step(scheduler)
    for seq in (larger, large):
        scheduler.add(seq)

    assert step(scheduler) == [(running, 1)]
    assert scheduler.num_waiting == 2


def taught(scheduler: Scheduler, seconds_per_token: float) -> None:
    """Let a scheduler see steps of a model that takes so long for a token, and for nothing else."""
    for num_tokens in (20, 3, 37, 1, 24, 16, 5, 30) * 40:
        seq = sequence([90] * num_tokens, max_tokens=2)
        scheduler.add(seq)
        while not seq.finish_reason:
            step(scheduler)
            scheduler.observe(seconds_per_token * scheduler.num_tokens_in_step)


def test_prompts_beside_streams_are_cut_so_that_steps_keep_to_their_time() -> None:
    scheduler = make_scheduler(
        make_pool(80), max_batch_tokens=256, max_step_seconds=0.1, prefix_cache=False
    )
    taught(scheduler, 0.001)
    stream, prompt = sequence([1]), sequence([2] * 300)
    scheduler.add(stream)
    step(scheduler)
    scheduler.add(prompt)
    (_, first), (_, num_tokens) = step(scheduler)

    assert first == 1
    assert 85 <= num_tokens <= 105


def test_a_prompt_alone_takes_the_whole_batch() -> None:
    scheduler = make_scheduler(
        make_pool(80), max_batch_tokens=256, max_step_seconds=0.1, prefix_cache=False
    )
    taught(scheduler, 0.001)
    prompt = sequence([2] * 300)
    scheduler.add(prompt)

    assert step(scheduler) == [(prompt, 256)]


def test_a_prompt_goes_on_however_slow_steps_are() -> None:
    scheduler = make_scheduler(
        make_pool(80), max_batch_tokens=256, max_step_seconds=0.1, prefix_cache=False
    )
    taught(scheduler, 10)
    stream, prompt = sequence([1]), sequence([2] * 300)
    scheduler.add(stream)
    step(scheduler)
    scheduler.add(prompt)

    assert step(scheduler) == [(stream, 1), (prompt, MIN_CHUNK)]


def make_speculating(
    pool: BlockPool, seconds_of: Callable[[int], float] = lambda num_tokens: 0.01
) -> Scheduler:
    """A scheduler that has learnt how long steps of so many tokens take: by default all alike."""
    scheduler = make_scheduler(pool, max_batch_tokens=128, max_outputs=16)
    for num_streams in (1, 4, 2, 3) * 200:
        for _ in range(num_streams):
            scheduler.add(sequence([1], max_tokens=2))
        while scheduler.num_running or scheduler.num_waiting:
            step(scheduler)
            scheduler.observe(seconds_of(scheduler.num_tokens_in_step))
    return scheduler


QUOTE = list(range(10, 30))
QUOTING = [*QUOTE, 50, *QUOTE[:12]]
"""Goes on, presumably, with 22, 23, 24, …"""


def start(scheduler: Scheduler, seq: Sequence, first_token: int) -> Chunk:
    """Compute a prompt and draw its first token; return what is scheduled then."""
    scheduler.add(seq)
    (prompt,) = scheduler.schedule()
    scheduler.update([prompt], [first_token])
    (chunk,) = scheduler.schedule()
    return chunk


def test_a_stream_that_repeats_its_prompt_gets_guesses_after_its_token() -> None:
    chunk = start(make_speculating(make_pool(16)), sequence(QUOTING), 22)

    assert (chunk.num_tokens, chunk.draft[:4]) == (1, (23, 24, 25, 26))
    assert chunk.num_outputs == 1 + len(chunk.draft)


def test_guesses_are_kept_up_to_the_first_that_is_not_what_was_drawn() -> None:
    scheduler = make_speculating(make_pool(16))
    seq = sequence(QUOTING)
    chunk = start(scheduler, seq, 22)
    drawn = [23, 24, *[60] * (chunk.num_outputs - 2)]

    assert scheduler.update([chunk], drawn) == [Advance(seq, first_row=0, num_tokens=3)]
    assert seq.tokens[-4:] == [22, 23, 24, 60]
    assert seq.num_pending_tokens == 1
    scheduler.check_invariants()


def test_blocks_that_only_wrong_guesses_needed_are_given_back() -> None:
    pool = make_pool(16)
    scheduler = make_speculating(pool)
    seq = sequence(QUOTING)
    chunk = start(scheduler, seq, 22)
    assert len(seq.block_table) > 9  # of 4 tokens
    scheduler.update([chunk], [60] * chunk.num_outputs)

    assert len(seq.tokens) == 35
    assert len(seq.block_table) == 9
    assert pool.num_free_blocks == 7


def test_blocks_with_wrong_guesses_are_not_found_by_others() -> None:
    scheduler = make_speculating(make_pool(32))
    seq = sequence(QUOTING)
    chunk = start(scheduler, seq, 22)
    assert chunk.draft[:3] == (23, 24, 25)
    scheduler.update([chunk], [23, *[60] * len(chunk.draft)])
    as_guessed = sequence([*QUOTING, 22, *chunk.draft, 0])
    scheduler.add(as_guessed)
    scheduler.schedule()

    # Of 36 tokens and more only 35 turned out right: eight blocks of four, and no ninth.
    assert as_guessed.num_cached_tokens == 32


def test_an_end_token_among_the_guesses_ends_the_sequence_there() -> None:
    pool = make_pool(32)
    scheduler = make_speculating(pool)
    seq = sequence(QUOTING, end_token=24)
    chunk = start(scheduler, seq, 22)

    assert scheduler.update([chunk], [*chunk.draft, 0])[0].num_tokens == 2
    assert seq.tokens[-2:] == [23, 24]
    assert seq.finish_reason is FinishReason.STOP
    assert pool.num_free_blocks == 32


def test_no_more_is_guessed_than_may_still_be_generated() -> None:
    scheduler = make_speculating(make_pool(16))
    seq = sequence(QUOTING, max_tokens=4)
    chunk = start(scheduler, seq, 22)

    assert chunk.draft == (23, 24)
    scheduler.update([chunk], [23, 24, 25])
    assert seq.finish_reason is FinishReason.LENGTH


def test_guesses_take_free_blocks_and_never_those_of_others() -> None:
    scheduler = make_speculating(make_pool(10))
    other, seq = sequence([1] * 2), sequence(QUOTING)
    scheduler.add(other)
    scheduler.add(seq)  # 33 tokens: nine blocks, and the other has the tenth
    step(scheduler, next_token=22)
    chunk = scheduler.schedule()[1]

    assert chunk.draft == (23, 24)  # what the ninth block still holds
    assert scheduler.num_preemptions == 0


def test_a_sequence_that_may_not_be_guessed_is_not() -> None:
    seq = Sequence(0, list(QUOTING), SamplingParams(repetition_penalty=1.1), 100)

    assert start(make_speculating(make_pool(16)), seq, 22).draft == ()


def test_a_batch_holds_no_more_outputs_than_are_allowed() -> None:
    scheduler = make_speculating(make_pool(64))
    for _ in range(3):
        scheduler.add(sequence(QUOTING))
    step(scheduler, next_token=22)

    assert sum(chunk.num_outputs for chunk in scheduler.schedule()) == 16


def test_nothing_is_guessed_where_tokens_cost_as_much_as_steps() -> None:
    scheduler = make_speculating(make_pool(64), lambda num_tokens: 0.001 * num_tokens)
    for _ in range(4):
        scheduler.add(sequence(QUOTING))
    step(scheduler, next_token=22)

    assert [chunk.draft for chunk in scheduler.schedule()] == [()] * 4


def test_guesses_are_counted_and_so_are_the_right_ones() -> None:
    scheduler = make_speculating(make_pool(16))
    chunk = start(scheduler, sequence(QUOTING), 22)
    scheduler.update([chunk], [23, 24, *[60] * (chunk.num_outputs - 2)])

    assert scheduler.num_drafted_tokens == len(chunk.draft)
    assert scheduler.num_accepted_tokens == 2
