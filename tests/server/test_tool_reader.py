"""What an answer's text means when tools may be called, whatever the pieces in which it arrives."""

import itertools
import json
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet_server.services.events import (
    AnswerEnd,
    AnswerEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallStart,
)
from tercet_server.services.readers import AnswerReader, PlainReader
from tercet_server.services.reasoning import ReasoningReader
from tercet_server.services.tools.formats import HERMES, LLAMA, ToolFormat
from tercet_server.services.tools.reader import ToolReader

CALL = (
    '<tool_call>\n{"name": "look", "arguments": {"a": "}\\"{", "b": [1, {"c": 2}]}}\n</tool_call>'
)
OTHER = '<tool_call>{"name": "go", "arguments": {}}</tool_call>'
LLAMA_CALL = '{"name": "look", "parameters": {"a": "\\\\"}}'


def read(reader: AnswerReader, *pieces: str, reason: str = "stop") -> list[AnswerEvent]:
    events = [event for piece in pieces for event in reader.push(piece)]
    return [*events, *reader.finish(reason)]


class Told(NamedTuple):
    """The events with what is of a kind joined."""

    text: str = ""
    thought: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    end: str = "stop"


def told(events: list[AnswerEvent]) -> Told:
    calls: list[tuple[str, str]] = []
    for event in events:
        match event:
            case ToolCallStart(name=name, call=call):
                assert call == len(calls)
                calls.append((name, ""))
            case ToolCallArguments(text=text, call=call):
                assert call == len(calls) - 1
                calls[call] = (calls[call][0], calls[call][1] + text)
    assert isinstance(events[-1], AnswerEnd)
    return Told(
        "".join(event.text for event in events if isinstance(event, TextDelta)),
        "".join(event.text for event in events if isinstance(event, ReasoningDelta)),
        tuple(calls),
        events[-1].finish_reason,
    )


def tools(form: ToolFormat = HERMES, end: str = "tool_calls") -> ToolReader:
    return ToolReader(0, form, ["look", "go"], end)


def test_text_without_a_call_is_text() -> None:
    assert told(read(tools(), "one < two")) == Told("one < two")


def test_calls_are_told_apart_from_the_text_before_them() -> None:
    arguments = '{"a": "}\\"{", "b": [1, {"c": 2}]}'
    events = read(tools(), f"Let me see.\n{CALL}\n{OTHER}")
    assert told(events) == Told(
        "Let me see.", calls=(("look", arguments), ("go", "{}")), end="tool_calls"
    )
    assert json.loads(arguments)["b"] == [1, {"c": 2}]


def test_ids_are_of_openais_form_and_differ() -> None:
    events = read(tools(), CALL + OTHER)
    first, second = (event.id for event in events if isinstance(event, ToolCallStart))
    assert first.startswith("call_")
    assert len(first) == len("call_") + 24
    assert first != second


def test_white_space_before_a_call_is_no_text() -> None:
    assert told(read(tools(), f" \n\n{OTHER}")) == Told(calls=(("go", "{}"),), end="tool_calls")


def test_white_space_at_the_end_of_a_text_is_part_of_it() -> None:
    assert told(read(tools(), "done \n")) == Told("done \n")


@pytest.mark.parametrize("cut", ["<tool_call>", '<tool_call>{"name": "lo', "<tool_call>\n"])
def test_a_call_that_is_cut_before_its_name_is_not_told(cut: str) -> None:
    assert told(read(tools(), f"hm {cut}", reason="length")) == Told("hm", end="length")


def test_a_call_that_is_cut_later_is_told_as_far_as_it_goes() -> None:
    events = read(tools(), '<tool_call>{"name": "look", "arguments": {"a": "b', reason="length")
    assert told(events) == Told(calls=(("look", '{"a": "b'),), end="length")


def test_the_beginning_of_an_opening_at_the_end_is_text() -> None:
    assert told(read(tools(), "a <tool_")) == Told("a <tool_")


def test_an_answer_whose_tool_was_named_ends_as_openais_does() -> None:
    assert told(read(tools(end="stop"), OTHER)) == Told(calls=(("go", "{}"),))


def test_a_call_without_an_opening_is_what_an_answer_begins_with() -> None:
    assert told(read(tools(LLAMA), LLAMA_CALL)) == Told(
        calls=(("look", '{"a": "\\\\"}'),), end="tool_calls"
    )
    assert told(read(tools(LLAMA), f"x {LLAMA_CALL}")) == Told(f"x {LLAMA_CALL}")


def test_an_object_that_is_no_call_is_text() -> None:
    text = '{"name": "other", "parameters": {}}'
    assert told(read(tools(LLAMA), text)) == Told(text)


def thoughtful(rest: AnswerReader, *, is_open: bool = False) -> ReasoningReader:
    return ReasoningReader(0, rest, is_open=is_open)


def test_a_thought_is_told_apart_from_the_answer() -> None:
    events = read(thoughtful(PlainReader(0)), "<think>\nHm, hm.\n</think>\n\nYes.")
    assert told(events) == Told("Yes.", "Hm, hm.")


def test_a_thought_may_have_been_opened_by_the_prompt() -> None:
    assert told(read(thoughtful(PlainReader(0), is_open=True), "\nHm</think>Yes")) == Told(
        "Yes", "Hm"
    )


def test_an_empty_thought_is_none() -> None:
    assert told(read(thoughtful(PlainReader(0)), "<think>\n\n</think>\n\nYes")) == Told("Yes")


def test_an_answer_without_a_thought_is_text() -> None:
    assert told(read(thoughtful(PlainReader(0)), "<b>Yes</b></think>")) == Told(
        "<b>Yes</b></think>"
    )


def test_a_thought_that_is_cut_is_all_there_is() -> None:
    events = read(thoughtful(PlainReader(0)), "<think>Hm </th", reason="length")
    assert told(events) == Told(thought="Hm </th", end="length")


def test_a_call_after_a_thought_is_a_call_and_one_within_it_is_not() -> None:
    events = read(thoughtful(tools()), f"<think>{OTHER}</think>\n{OTHER}")
    assert told(events) == Told("", OTHER, (("go", "{}"),), "tool_calls")


TEXTS = [
    f"Let me see.\n{CALL}\n{OTHER}",
    f"<think>\na </thin b\n\n</think>\n\nsome <tool text \n\n{OTHER}",
    "<think></think>plain <think> text",
    " \n<thi",
    f"{OTHER}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_cut_anywhere_changes_nothing(text: str) -> None:
    whole = told(read(thoughtful(tools()), text))
    for cut in range(len(text)):
        assert told(read(thoughtful(tools()), text[:cut], text[cut:])) == whole
    assert told(read(thoughtful(tools()), *text)) == whole


marks = st.sampled_from(
    ["<think>", "</think>", "<tool_call>", "</tool_call>", CALL, OTHER, LLAMA_CALL, " ", "\n", "<"]
)
pieces = st.lists(marks | st.text(max_size=3), max_size=8)


@given(pieces=pieces, form=st.sampled_from([HERMES, LLAMA]), cuts=st.lists(st.integers(0, 200)))
def test_whatever_the_text_only_its_whole_counts(
    pieces: list[str], form: ToolFormat, cuts: list[int]
) -> None:
    text = "".join(pieces)
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    cut = [text[a:b] for a, b in itertools.pairwise(bounds)]
    assert told(read(thoughtful(tools(form)), *cut)) == told(read(thoughtful(tools(form)), text))


@given(pieces=pieces)
def test_text_without_marks_is_never_changed(pieces: list[str]) -> None:
    text = "".join(pieces).replace("<", "")
    assert told(read(thoughtful(tools()), *text)) == Told(text)
