"""How the answers to a chat request are asked for and read, by what the model's family can do.

From the template and the tokens follows in what form the model calls tools and whether it thinks;
from that and the request: what the template is given, what grammar the answer is held to, and what
reads it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tercet_engine import (
    ChatPrompt,
    ChatTemplate,
    GrammarKind,
    GrammarSpec,
    InvalidGrammar,
    Tokenizer,
    json_rule,
)
from tercet_server.protocol.chat import ChatCompletionRequest
from tercet_server.protocol.tools import NamedToolChoice, Tool
from tercet_server.services.answer_grammar import Calls, Thought, lark_of
from tercet_server.services.conversation import template_messages
from tercet_server.services.readers import AnswerReader, PlainReader
from tercet_server.services.reasoning import (
    CLOSE,
    OPEN,
    ReasoningMeter,
    ReasoningReader,
    Thinking,
    is_open,
    thinking_of,
)
from tercet_server.services.tools.formats import ToolFormat, format_of
from tercet_server.services.tools.prompt import tool_instructions
from tercet_server.services.tools.reader import ToolReader
from tercet_server.services.tools.schemas import enforced_schema

_PYTHON_TAG = "<|python_tag|>"


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """What is decided about a request before its prompt is made.

    Attributes:
        request: what the client wants.
        template: the model's.
        tokenizer: the model's.
        form: how the model calls tools.
        thinking: how it thinks; None: it does not.
        tools: those that may be called, by their index in the request.
    """

    request: ChatCompletionRequest
    template: ChatTemplate
    tokenizer: Tokenizer
    form: ToolFormat
    thinking: Thinking | None
    tools: dict[int, Tool]

    @classmethod
    def of(
        cls, request: ChatCompletionRequest, template: ChatTemplate, tokenizer: Tokenizer
    ) -> "AnswerPlan":
        """Decide by the template and the tokens."""
        form, thinking = format_of(template.source), thinking_of(template, tokenizer)
        return cls(request, template, tokenizer, form, thinking, _callable_tools(request))

    def prompt(self, *, add_generation_prompt: bool = True) -> ChatPrompt:
        """The conversation as tokens, with the opening of the assistant's turn at its end.

        Raises:
            TemplateError: the template does not take it.
        """
        request, offered = self.request, self._offered
        instructions = ""
        if offered and not self.form.is_native:
            instructions = tool_instructions(offered, request.tool_choice)
        return self.template.prompt(
            template_messages(request.messages, self.form, instructions),
            tools=self._native_tools(),
            add_generation_prompt=add_generation_prompt,
            variables=self._variables(),
        )

    def grammar(self, prompt: ChatPrompt) -> GrammarSpec | None:
        """What every answer must obey; None: nothing, or what the request says by itself.

        Raises:
            InvalidGrammar: what is asked for cannot be had together.
        """
        thought = self._thought(prompt)
        must_end_early = thought is not None and thought.max_tokens is not None
        structure = self.request.structure
        if not self.tools and not must_end_early and not (structure and thought):
            return None
        calls = self._calls()
        text_rule = None if calls and calls.is_required else self._text_rule()
        if structure and text_rule is None and not (calls and calls.is_required):
            return self._without_text_rule()
        param = "tools" if calls else structure.param if structure else "thinking_token_budget"
        return GrammarSpec(GrammarKind.LARK, lark_of(thought, calls, text_rule), param)

    def readers(self, prompt: ChatPrompt, num_choices: int) -> Iterator[AnswerReader]:
        """What reads each choice."""
        for index in range(num_choices):
            reader: AnswerReader = PlainReader(index)
            if self.tools:
                is_named = isinstance(self.request.tool_choice, NamedToolChoice)
                names = [tool.function.name for tool in self.tools.values()]
                reader = ToolReader(index, self.form, names, "stop" if is_named else "tool_calls")
            if self.thinking and not self._is_structured_throughout:
                is_begun = is_open(prompt.tokens, self.tokenizer)
                reader = ReasoningReader(index, reader, is_open=is_begun)
            yield reader

    def meters(self, prompt: ChatPrompt, num_choices: int) -> list[ReasoningMeter]:
        """What counts each choice's thought; none for a model that does not think."""
        if not self.thinking:
            return []
        is_begun = is_open(prompt.tokens, self.tokenizer)
        return [ReasoningMeter(self.tokenizer, is_open=is_begun) for _ in range(num_choices)]

    @property
    def shown_tokens(self) -> frozenset[int]:
        """Special tokens that the readers have to see."""
        marks = [self.form.opening, self.form.closing] if self.tools else []
        marks += [OPEN, CLOSE] if self.thinking else []
        ids = {self.tokenizer.token_id(mark) for mark in marks if mark}
        return frozenset(token for token in ids if token is not None)

    @property
    def _offered(self) -> Sequence[Tool]:
        """Tools that the model is told of; one that is named is not alone among them."""
        return (self.request.tools or ()) if self.tools else ()

    def _native_tools(self) -> list[dict[str, Any]] | None:
        """What a template is given as its tools."""
        if not self.form.is_native:
            return None
        # Some of those with an opening loop over them unasked; others ask whether they are None.
        return [tool.as_dict() for tool in self._offered] or ([] if self.form.opening else None)

    @property
    def _is_structured_throughout(self) -> bool:
        """Whether an answer's structure begins with its first token, so that it has no thought."""
        return bool(self.request.structure and not self.tools and self._text_rule() is None)

    def _variables(self) -> dict[str, Any]:
        """What a template is told of the effort wanted, by the names that it knows."""
        source, effort = self.template.source, self.request.reasoning_effort
        variables: dict[str, Any] = {}
        if effort is not None:
            for switch in ("enable_thinking", "thinking"):
                if switch in source:
                    variables[switch] = effort != "none"
            if "reasoning_effort" in source and effort != "none":
                variables["reasoning_effort"] = effort
        return variables | (self.request.chat_template_kwargs or {})

    def _thought(self, prompt: ChatPrompt) -> Thought | None:
        if not self.thinking:
            return None
        budget = self.request.thinking_token_budget
        knows_switch = "enable_thinking" in self.template.source
        is_begun = is_open(prompt.tokens, self.tokenizer)
        if self.request.reasoning_effort == "none" and (is_begun or not knows_switch):
            budget = 0
        if self.thinking.has_tokens:
            return Thought(is_begun, budget)
        if self.request.thinking_token_budget is not None:
            message = "cannot be enforced: no single token ends this model's thoughts"
            raise InvalidGrammar("thinking_token_budget", message)
        return Thought(is_begun, None, has_tokens=False)

    def _calls(self) -> Calls | None:
        if not self.tools:
            return None
        marks = (self.form.opening, self.form.closing, _PYTHON_TAG)
        tokens = frozenset(m for m in marks if m and self.tokenizer.token_id(m) is not None)
        schemas = {
            tool.function.name: enforced_schema(tool.function.parameters)
            for tool in self.tools.values()
        }
        is_required = self.request.tool_choice not in {None, "auto"}
        is_named = isinstance(self.request.tool_choice, NamedToolChoice)
        are_parallel = self.request.parallel_tool_calls is not False and not is_named
        return Calls(self.form, schemas, is_required, are_parallel, tokens)

    def _text_rule(self) -> str | None:
        """The request's structure as a rule; None: there is none, or it cannot be part of one."""
        structure = self.request.structure
        if structure is None or (self.tools and not self.form.opening):
            return None
        try:
            if structure.kind == "json_schema":
                return json_rule(json.loads(structure.text))
            if structure.kind == "choice":
                return " | ".join(map(json.dumps, json.loads(structure.text)))
        except (ValueError, TypeError):
            return None  # to be refused when it is compiled
        return None

    def _without_text_rule(self) -> GrammarSpec | None:
        structure = self.request.structure
        if structure and self.tools:
            message = f"cannot be combined with {structure.param} here; leave out one of the two"
            raise InvalidGrammar("tools", message)
        return None


def _callable_tools(request: ChatCompletionRequest) -> dict[int, Tool]:
    tools = dict(enumerate(request.tools or ()))
    match request.tool_choice:
        case "none":
            return {}
        case NamedToolChoice(function=function):
            return {i: tool for i, tool in tools.items() if tool.function.name == function.name}
    return tools
