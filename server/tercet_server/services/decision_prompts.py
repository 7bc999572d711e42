"""Questions as a model reads them, and the answers among which it decides.

The question stands at the end of the conversation, in the user's turn, so that all questions of a
request share everything before it.
"""

from collections.abc import Iterator, Mapping, Sequence

from tercet_server.protocol.decision_input import (
    Content,
    Input,
    InputCall,
    InputCallOutput,
    InputItem,
)
from tercet_server.protocol.decisions import ChoiceQuestion, Predicate, Question, ScoreQuestion

Turn = Mapping[str, str]


def conversation(given: Input) -> list[Turn]:
    """The input as turns that any chat template takes: turns of one role in a row become one."""
    if isinstance(given, str):
        return [_turn("user", given)]
    turns: list[Turn] = []
    for role, text in map(_said, given):
        is_more = bool(turns) and turns[-1]["role"] == role
        before = f"{turns.pop()['content']}\n\n" if is_more else ""
        turns.append(_turn(role, before + text))
    return turns


def asked(turns: Sequence[Turn], question: Question) -> list[Turn]:
    """The conversation with a question at its end."""
    text = _question_text(question)
    if turns[-1]["role"] == "user":
        return [*turns[:-1], _turn("user", f"{turns[-1]['content']}\n\n{text}")]
    return [*turns, _turn("user", text)]


def answered(turns: Sequence[Turn], answer: str) -> list[Turn]:
    """The conversation with an answer of the assistant's."""
    return [*turns, _turn("assistant", answer)]


def options(question: Question) -> list[str]:
    """All answers that a question can have."""
    match question:
        case Predicate():
            return ["Yes", "No"]
        case ChoiceQuestion():
            return [_written(choice.value) for choice in question.choices]
        case ScoreQuestion():
            return [level.label for level in question.levels]


def _question_text(question: Question) -> str:
    return "\n".join([_text(question.instructions), "", *_rules(question)])


def _rules(question: Question) -> Iterator[str]:
    match question:
        case Predicate():
            yield "Is this true? Answer Yes or No."
        case ChoiceQuestion():
            yield "Answer with one of these and nothing else:"
            for choice in question.choices:
                yield _line(_written(choice.value), choice.description)
        case ScoreQuestion():
            yield "Answer with one of these levels, from the lowest to the highest, and no more:"
            for level in question.levels:
                yield _line(level.label, level.description)


def _line(option: str, description: str | None) -> str:
    return f"- {option}: {description}" if description else f"- {option}"


def _written(value: str | bool) -> str:  # noqa: FBT001 -- a value, not a switch
    return value if isinstance(value, str) else str(value).lower()


def _said(item: InputItem) -> tuple[str, str]:
    """Who says what. Calls of tools are told in words, for not every template knows them."""
    match item:
        case InputCall():
            return "assistant", f"Call of {item.name}: {item.text}"
        case InputCallOutput():
            return "user", f"Result: {_text(item.output)}"
    return {"developer": "system"}.get(item.role, item.role), _text(item.content)


def _text(content: Content) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content)


def _turn(role: str, text: str) -> Turn:
    return {"role": role, "content": text}
