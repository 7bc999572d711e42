"""A conversation with somebody who answers by the book."""

from collections.abc import Iterator, Sequence

import pytest

from tercet_server.cli.conversation import ChatError, Conversation, Message, Piece, Screen
from tests.conftest import FakeClock


class Answers:
    """Gives the same pieces each time, 0.5 s apart; remembers what it was asked."""

    name = "answers"

    def __init__(self, clock: FakeClock, *pieces: Piece | BaseException) -> None:
        self._clock = clock
        self._pieces = pieces or (Piece("Hel", 1), Piece("lo", 1, "stop"))
        self.asked: list[list[Message]] = []

    def answer(self, messages: Sequence[Message]) -> Iterator[Piece]:
        self.asked.append([dict(message) for message in messages])
        for piece in self._pieces:
            if isinstance(piece, BaseException):
                raise piece
            self._clock.pass_by(0.5)
            yield piece

    def close(self) -> None:
        pass


def talk(
    clock: FakeClock, answers: Answers, *lines: str, system: str = "", is_interactive: bool = True
) -> tuple[str, list[str]]:
    written: list[str] = []
    notes: list[str] = []
    screen = Screen([f"{line}\n" for line in lines], written.append, notes.append)
    Conversation(answers, screen, system, is_interactive, clock).run()
    return "".join(written), notes


def test_each_question_carries_what_was_said_before(clock: FakeClock) -> None:
    answers = Answers(clock)

    written, _ = talk(clock, answers, "hi", "", "and?")

    assert written == "Hello\nHello\n"
    assert answers.asked[1] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "and?"},
    ]


def test_the_pace_counts_the_tokens_after_the_first(clock: FakeClock) -> None:
    answers = Answers(clock, Piece("a", 1), Piece("b", 1), Piece("c", 2, "stop"))

    _, notes = talk(clock, answers, "hi")

    assert notes == ["4 tokens, first after 0.50 s, 3.0 tokens/s"]


def test_an_answer_cut_short_is_called_so(clock: FakeClock) -> None:
    _, notes = talk(clock, Answers(clock, Piece("a", 1, "length")), "hi")

    assert notes == ["1 tokens, first after 0.50 s, cut at its greatest length"]


def test_clear_forgets_everything_but_the_system_prompt(clock: FakeClock) -> None:
    answers = Answers(clock)

    talk(clock, answers, "hi", "/clear", "anew", system="be kind")

    assert answers.asked[1] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "anew"},
    ]


def test_the_system_prompt_can_be_set_and_taken_away(clock: FakeClock) -> None:
    answers = Answers(clock)

    talk(clock, answers, "/system be brief", "hi", "/system", "hi")

    assert answers.asked[0][0] == {"role": "system", "content": "be brief"}
    assert answers.asked[1][0] == {"role": "user", "content": "hi"}


@pytest.mark.parametrize("word", ["/exit", "/quit"])
def test_exit_ends_it_before_the_next_line(clock: FakeClock, word: str) -> None:
    answers = Answers(clock)

    talk(clock, answers, word, "hi")

    assert answers.asked == []


def test_help_and_unknown_commands_ask_nobody(clock: FakeClock) -> None:
    answers = Answers(clock)

    _, notes = talk(clock, answers, "/help", "/frobnicate")

    assert answers.asked == []
    assert "/system TEXT" in notes[0]
    assert "/frobnicate" in notes[1]


def test_a_stopped_answer_stays_as_far_as_it_came(clock: FakeClock) -> None:
    answers = Answers(clock, Piece("Hel", 1), KeyboardInterrupt())

    written, notes = talk(clock, answers, "hi", "go on")

    assert written == "Hel\nHel\n"
    assert notes[0].endswith(", stopped")
    assert answers.asked[1][1] == {"role": "assistant", "content": "Hel"}


def test_a_question_stopped_before_its_answer_began_is_forgotten(clock: FakeClock) -> None:
    answers = Answers(clock, KeyboardInterrupt())

    _, notes = talk(clock, answers, "hi", "again")

    assert notes == ["no tokens, stopped"] * 2
    assert answers.asked[1] == [{"role": "user", "content": "again"}]


def test_a_failed_answer_is_shown_and_its_question_forgotten(clock: FakeClock) -> None:
    answers = Answers(clock, ChatError("too long"))

    _, notes = talk(clock, answers, "hi", "again")

    assert notes == ["too long", "too long"]
    assert answers.asked[1] == [{"role": "user", "content": "again"}]


@pytest.mark.parametrize("error", [ChatError("too long"), KeyboardInterrupt()])
def test_without_a_person_a_failed_answer_ends_everything(
    clock: FakeClock, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        talk(clock, Answers(clock, error), "hi", is_interactive=False)
