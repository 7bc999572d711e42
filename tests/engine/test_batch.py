import itertools

import numpy as np

from tercet_engine.batch import FORBIDDEN, make_batch
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.scheduler import Chunk
from tercet_engine.sequence import Sequence


def sequence(tokens: list[int], blocks: list[int], *, num_computed: int = 0, **params: object):
    seq = Sequence(0, tokens, SamplingParams(**params), 10, frozenset({8, 9}), choice=3)
    seq.block_table.extend(blocks)
    seq.num_computed_tokens = num_computed
    return seq


def test_chunks_are_laid_out_one_after_the_other() -> None:
    stream = sequence([1, 2, 3], [4, 5], num_computed=2)
    prompt = sequence([6, 7, 8, 9], [2])
    batch = make_batch([Chunk(stream, 1), Chunk(prompt, 3)])

    assert batch.token_ids.tolist() == [3, 6, 7, 8]
    assert batch.chunk_starts.tolist() == [0, 1, 4]
    assert batch.positions.tolist() == [2, 0]
    assert batch.block_tables.tolist() == [[4, 5], [2, 0]]


def test_tokens_are_drawn_only_after_chunks_that_reach_the_end() -> None:
    unfinished, finished = sequence([1, 2, 3], [0]), sequence([1, 2], [1])
    batch = make_batch([Chunk(unfinished, 2), Chunk(finished, 2)])

    assert batch.outputs.tolist() == [3]
    assert batch.sampling.position.tolist() == [2]


def test_a_draw_is_keyed_by_seed_choice_and_position() -> None:
    batch = make_batch([Chunk(sequence([1, 2], [0], seed=2**64 - 1), 2)])

    assert batch.sampling.seed.tolist() == [2**64 - 1]
    assert batch.sampling.choice.tolist() == [3]
    assert batch.sampling.position.tolist() == [2]


def test_only_generated_tokens_are_counted_and_only_where_a_penalty_asks() -> None:
    counted = sequence([5, 5], [0], presence_penalty=0.5)
    uncounted = sequence([5, 5], [1])
    for seq in (counted, uncounted):
        for token in (6, 7, 6):
            seq.append(token)
    sampling = make_batch([Chunk(uncounted, 5), Chunk(counted, 5)]).sampling

    assert sampling.count_starts.tolist() == [0, 0, 2]
    assert sampling.count_tokens.tolist() == [6, 7]
    assert sampling.counts.tolist() == [2, 1]


def test_end_tokens_are_forbidden_before_min_tokens() -> None:
    seq = sequence([1], [0], min_tokens=1, logit_bias={4: -2.0})
    sampling = make_batch([Chunk(seq, 1)]).sampling

    assert sampling.bias_starts.tolist() == [0, 3]
    assert sorted(zip(sampling.bias_tokens.tolist(), sampling.biases.tolist(), strict=True)) == [
        (4, -2.0),
        (8, np.float32(FORBIDDEN)),
        (9, np.float32(FORBIDDEN)),
    ]


def test_arrays_have_the_types_that_the_model_reads() -> None:
    batch = make_batch([Chunk(sequence([1], [0]), 1)])
    ints = (batch.token_ids, batch.chunk_starts, batch.positions, batch.block_tables, batch.outputs)

    assert {array.dtype for array in ints} == {np.dtype(np.int32)}
    assert batch.sampling.temperature.dtype == batch.sampling.biases.dtype == np.float32
    assert batch.sampling.seed.dtype == np.uint64


def test_guesses_follow_their_chunks_and_one_token_is_drawn_after_each() -> None:
    stream = sequence([1, 2, 3], [4, 5], num_computed=2)
    other = sequence([6, 7], [2])
    batch = make_batch([Chunk(stream, 1, (20, 21)), Chunk(other, 2)])

    assert batch.token_ids.tolist() == [3, 20, 21, 6, 7]
    assert batch.chunk_starts.tolist() == [0, 3, 5]
    assert batch.outputs.tolist() == [0, 1, 2, 4]
    assert batch.sampling.position.tolist() == [3, 4, 5, 2]


def test_after_a_guess_penalties_count_it_as_generated() -> None:
    seq = sequence([5], [0], num_computed=1, frequency_penalty=0.5)
    seq.append(6)
    sampling = make_batch([Chunk(seq, 1, (6, 7))]).sampling
    starts = sampling.count_starts.tolist()
    rows = [
        dict(zip(sampling.count_tokens[a:b].tolist(), sampling.counts[a:b].tolist(), strict=True))
        for a, b in itertools.pairwise(starts)
    ]

    assert rows == [{6: 1}, {6: 2}, {6: 2, 7: 1}]
    assert seq.generated_counts == {6: 1}


def test_after_enough_guesses_end_tokens_are_no_longer_forbidden() -> None:
    seq = sequence([1, 2], [0], num_computed=1, min_tokens=2)
    sampling = make_batch([Chunk(seq, 1, (20, 21))]).sampling

    assert sampling.bias_starts.tolist() == [0, 2, 4, 4]


def test_tokens_that_are_scored_carry_none_of_what_changes_a_draw() -> None:
    seq = sequence(
        [1, 2, 3, 4],
        [0],
        prompt_logprobs=0,
        repetition_penalty=1.1,
        logit_bias={7: 1.0},
        min_tokens=1,
        max_tokens=2,
    )
    batch = make_batch([Chunk(seq, 4)])

    assert batch.sampling.targets.tolist() == [2, 3, 4, -1]
    assert batch.sampling.seen_starts.tolist() == [0, 0, 0, 0, 4]
    assert batch.sampling.bias_starts.tolist()[:4] == [0, 0, 0, 0]
    assert batch.sampling.bias_tokens[0] == 7


def test_a_prompt_computed_anew_amid_the_answer_is_not_scored_again() -> None:
    seq = sequence([1, 2, 3], [0], prompt_logprobs=0)
    seq.append(4)

    assert make_batch([Chunk(seq, 4)]).sampling.targets.tolist() == [-1]
