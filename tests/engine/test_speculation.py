"""Guesses: where they come from, how far they are trusted, and when they pay."""

import random

import pytest

from tercet_engine.drafter import MAX_DRAFT, Drafter
from tercet_engine.speculation import Gain


def drafter_of(tokens: list[int]) -> Drafter:
    drafter = Drafter(tokens)
    drafter.follow()
    return drafter


def is_guessing(drafter: Drafter) -> bool:
    return any(True for _ in drafter.chances(1))


def say(drafter: Drafter, tokens: list[int], *said: int) -> None:
    tokens.extend(said)
    drafter.follow()


def test_what_followed_the_last_two_tokens_before_is_guessed_to_follow_again() -> None:
    drafter = drafter_of([1, 2, 3, 4, 5, 1, 2])

    assert drafter.draft(3) == (3, 4, 5)


def test_nothing_is_guessed_after_a_pair_that_is_new() -> None:
    assert not is_guessing(drafter_of([1, 2, 3, 2, 1]))
    assert not is_guessing(drafter_of([]))
    assert not is_guessing(drafter_of([7]))


def test_the_place_with_the_longest_agreement_before_it_is_taken() -> None:
    drafter = drafter_of([9, 1, 2, 30, 8, 1, 2, 40, 9, 1, 2])

    assert drafter.draft(1) == (30,)


def test_among_equal_agreements_the_latest_is_taken() -> None:
    drafter = drafter_of([1, 2, 30, 8, 1, 2, 40, 7, 1, 2])

    assert drafter.draft(1) == (40,)


def test_a_match_that_reaches_the_end_repeats_itself() -> None:
    drafter = drafter_of([1, 2, 3, 1, 2, 3, 1, 2])

    assert drafter.draft(7) == (3, 1, 2, 3, 1, 2, 3)


def test_a_longer_agreement_is_trusted_more() -> None:
    quote = list(range(20))
    chances = [
        next(drafter_of([*quote, *range(50, 60), *quote[2 : 2 + length]]).chances(1))
        for length in (2, 3, 5, 8, 12)
    ]

    assert chances == sorted(chances)
    assert len(set(chances)) == 5


def test_the_chance_of_a_whole_draft_falls_with_its_length() -> None:
    drafter = drafter_of([*range(30), *range(12)])
    chances = list(drafter.chances(100))

    assert len(chances) == MAX_DRAFT
    assert chances == sorted(chances, reverse=True)


def test_right_guesses_raise_trust_and_wrong_ones_lower_it() -> None:
    def chance_after(*said: int) -> float:
        tokens = [1, 2, 3, 4, 1, 2]
        drafter = drafter_of(tokens)
        say(drafter, tokens, *said)
        tokens += [50, 1, 2]  # the pair again, at its shortest
        drafter.follow()
        return next(drafter.chances(1))

    before = next(drafter_of([1, 2, 3, 4, 1, 2]).chances(1))
    assert chance_after(3) > before > chance_after(60)


def test_guesses_are_judged_although_nobody_used_them() -> None:
    """In random text of few symbols a pair is often found again, and its guess is often wrong."""
    rng = random.Random(0)
    tokens = [rng.randrange(5) for _ in range(20)]
    drafter = drafter_of(tokens)
    for _ in range(400):
        say(drafter, tokens, rng.randrange(5))
    while not is_guessing(drafter):
        say(drafter, tokens, rng.randrange(5))

    assert next(drafter.chances(1)) < 0.5


def test_a_match_goes_on_after_several_right_guesses_at_once() -> None:
    tokens = [*range(10), 1, 2]
    drafter = drafter_of(tokens)
    say(drafter, tokens, 3, 4, 5)

    assert drafter.draft(2) == (6, 7)


def test_after_a_wrong_guess_the_text_is_searched_anew() -> None:
    tokens = [1, 2, 3, 4, 5, 2, 9, 8, 1, 2]
    drafter = drafter_of(tokens)
    say(drafter, tokens, 9)  # and not 3: but 2 9 was followed by 8

    assert drafter.draft(1) == (8,)


@pytest.mark.parametrize("seed", range(20))
def test_every_guess_is_what_followed_the_same_tokens_before(seed: int) -> None:
    rng = random.Random(seed)
    tokens = [rng.randrange(4) for _ in range(3)]
    drafter = Drafter(tokens)
    num_guesses = 0
    for _ in range(100):
        tokens += [rng.randrange(4) for _ in range(rng.randint(1, 3))]
        drafter.follow()
        if is_guessing(drafter):
            (guess,) = drafter.draft(1)
            places = [i for i in range(2, len(tokens)) if tokens[i - 2 : i] == tokens[-2:]]
            assert guess in {tokens[i] for i in places}
            num_guesses += 1
    assert num_guesses > 80


def test_guesses_are_taken_in_while_they_raise_the_yield() -> None:
    # One token in 10 ms, 2 ms for a guess. At 0.5 the third would fall behind the others:
    # (1 + 0.9 + 0.8) / 14 ms = 0.193 per ms, and 0.3 / 2 ms = 0.15.
    assert Gain(1, 0.010).count([0.9, 0.8, 0.3], 0.002) == 2
    assert Gain(1, 0.010).count([0.9, 0.8, 0.4], 0.002) == 3


def test_no_guess_is_taken_in_where_tokens_cost_as_much_as_steps() -> None:
    assert Gain(64, 0.064).count([0.99, 0.98], 0.001) == 0


def test_guesses_of_one_sequence_raise_the_bar_for_the_next() -> None:
    gain = Gain(2, 0.010)
    assert gain.count([1.0] * 8, 0.001) == 8  # now 10 tokens in 18 ms
    assert gain.count([0.5], 0.001) == 0
    assert Gain(2, 0.010).count([0.5], 0.001) == 1
