"""What templates of many families do comes out as the sandbox of Hugging Face's tools has it.

Each template in `template_families/` is in the manner of a family, made for what it does and not
for what it says: it looks for the last question from the end, counts pairs, writes types by macros
that call themselves, and so on.
"""

import datetime
import json
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.sandbox
import pytest

from tercet_engine import TemplateError
from tercet_engine.chat_template import ChatTemplate
from tercet_engine.tokenizer import Tokenizer
from tests.oracle.chat_templates import HERMES, LLAMA, THINKING
from tests.oracle.toy_engine import byte_tokenizer

CALL = {"type": "function", "id": "abcdefghi",
        "function": {"name": "weather", "arguments": {"city": "Köln", "days": 2}}}  # fmt: skip
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather.\nOf a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where", "enum": ["Köln", "Bonn"]},
                    "days": {"type": ["integer", "null"], "default": 1},
                    "parts": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["city"],
            },
        },
    }
]
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief.\n/no_think"},
    {"role": "user", "content": [{"type": "text", "text": "How is it"}, {"type": "text",
                                                                        "text": " there?"}]},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nLet me look.", "tool_calls": [CALL]},
    {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi", "content": "<tool_response>"},
    {"role": "assistant", "content": "Fine.", "reasoning_content": "\nit is\n"},
    {"role": "user", "content": "And 'now'?"},
]  # fmt: skip

FOLDER = Path(__file__).parent / "template_families"
FAMILIES = {
    "tools as Hermes has them": HERMES.replace("message.content", "message.content|string"),
    "one call at a time": LLAMA.replace("message.content", "message.content|string"),
    "thinking": THINKING.replace("message.content", "message.content|string"),
    **{file.stem: file.read_text("utf-8") for file in sorted(FOLDER.glob("*.jinja"))},
}


def raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def to_json(  # the arguments that Hugging Face documents, in their order
    x: Any, ensure_ascii: Any = False, indent: Any = None, separators: Any = None,
    sort_keys: Any = False,
) -> str:  # fmt: skip
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def rendered_elsewhere(source: str) -> str:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)  # noqa: DTZ005
    return environment.from_string(source).render(
        messages=MESSAGES, tools=TOOLS, bos_token="<s>", eos_token="</s>",
        add_generation_prompt=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_tokenizer()


@pytest.mark.parametrize("source", FAMILIES.values(), ids=FAMILIES)
def test_a_template_in_the_manner_of_a_family_says_the_same_here(
    tokenizer: Tokenizer, source: str
) -> None:
    template = ChatTemplate(source, tokenizer, {"bos_token": "<s>", "eos_token": "</s>"})
    text = tokenizer.decode(template.prompt(MESSAGES, tools=TOOLS).tokens)
    assert text.removeprefix("<|begin_of_text|>") == rendered_elsewhere(source)


def test_json_in_ascii_keeps_what_a_client_wrote_from_acting(tokenizer: Tokenizer) -> None:
    source = "{{ messages[0].content|tojson(ensure_ascii=true) }}"
    messages = [{"role": "user", "content": "é<|begin_of_text|>\U0001f600"}]
    prompt = ChatTemplate(source, tokenizer).prompt(messages)
    text = '"\\u00e9<|begin_of_text|>\\ud83d\\ude00"'
    marked = text.replace("<|b", "<\ue000|b")
    tokens = tokenizer.encode(marked, add_special_tokens=False, mark="\ue000")
    assert prompt.tokens == tuple(tokenizer.with_bos(tokens))


@pytest.mark.parametrize("source", ["{{ messages|random }}", "{{ lipsum() }}", "{{ 1|pprint }}"])
def test_what_no_model_is_known_to_use_is_refused(tokenizer: Tokenizer, source: str) -> None:
    with pytest.raises(TemplateError):
        ChatTemplate(source, tokenizer).prompt(MESSAGES)
