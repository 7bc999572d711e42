"""Templates that would never end, or fill the memory, end with an error; real ones are let be."""

import resource

import pytest

from tercet_engine import CheckpointError, TemplateError
from tercet_engine.chat_template import BITNET_TEMPLATE, ChatTemplate
from tercet_engine.template_work import MAX_WORK, Work
from tercet_engine.tokenizer import Tokenizer
from tests.oracle.chat_templates import HERMES, LLAMA, THINKING
from tests.oracle.toy_engine import byte_tokenizer

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
LOOP = "{% for i in range(100000) %}"
LONG = "{% set s %}{{ 'a b\n' * 999999 }}{% endset %}"
DOUBLING = "{% set ns = namespace(x='abcdefgh') %}" + LOOP


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_tokenizer()


NEVER_ENDING = {
    "loops in loops over a list": "{% set l = [" + "1," * 200 + "] %}"
    + "{% for a in l %}" * 8 + "{% endfor %}" * 8,
    "loops that pass over everything": "{% set l = [" + "1," * 200 + "] %}"
    + "{% for a in l if a == 2 %}{% endfor %}" * 99 + LOOP
    + "{% for a in l if a == 2 %}{% endfor %}{% endfor %}",
    "a macro that calls itself twice": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}"
    "{% endif %}{% endmacro %}{{ f(60) }}",
    "a block that calls itself twice": "{% macro g(n) %}{{ f(n) }}{% endmacro %}"
    "{% macro f(n) %}{% if n %}{{ g(n-1) }}{{ g(n-1) }}{% endif %}{% endmacro %}{{ f(50) }}",
    "a recursive loop": "{% for a in [[1,2]] recursive %}{% if loop.depth < 90 %}"
    "{{ loop([1,2]) }}{{ loop([1,2]) }}{% endif %}{% endfor %}",
    "lazy filters upon each other": LOOP + "{% set x = range(1000)" + "|map('string')" * 50
    + "|list %}{% endfor %}",
    "a test that looks through a long list": "{% set l = range(90000)|list %}"
    "{% for i in range(9000) %}{% if -1 is in(l) %}{% endif %}{% endfor %}",
    "a test by name that does": "{% set l = range(90000)|list %}"
    "{{ range(9000)|map('string')|select('in', l)|list }}",
    "sums of lists": "{{ range(9000)|map('string')|map('list')|list|sum(start=[]) }}",
    "looking through a long list again and again": "{% set l = range(90000)|list %}"
    "{% for i in l %}{% if -1 in l %}{% endif %}{% endfor %}",
}  # fmt: skip

MEMORY_FILLING = {
    "doubling by ~": DOUBLING + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "doubling by +": DOUBLING + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "doubling by a block": DOUBLING
    + "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}",
    "doubling by replace": DOUBLING + "{% set ns.x = ns.x.replace('a', 'aaaaa') %}{% endfor %}",
    "doubling by the filter": DOUBLING + "{% set ns.x = ns.x|replace('a', 'aaaaa') %}{% endfor %}",
    "doubling by join": DOUBLING + "{% set ns.x = [ns.x, ns.x]|join %}{% endfor %}",
    "doubling by the method": DOUBLING + "{% set ns.x = ''.join([ns.x, ns.x]) %}{% endfor %}",
    "doubling by a format": DOUBLING + "{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}",
    "joining many": "{% set s %}{% for i in range(9999) %}abcdefgh{% endfor %}{% endset %}"
    "{{ range(9999)|list|join(s) }}",
    "replacing many": "{% set s %}{% for i in range(9999) %}aaaaaaaa{% endfor %}{% endset %}"
    "{{ s|replace('a', s) }}",
    "indenting many": "{% set s %}{% for i in range(9999) %}\n\n{% endfor %}{% endset %}"
    "{{ s|indent(s) }}",
    "lists in lists": "{% set ns = namespace(x=[1]) %}" + LOOP
    + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "dicts in dicts": "{% set ns = namespace(x=[1]) %}" + LOOP
    + "{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x|tojson }}",
    "dict()": "{% set ns = namespace(x=[1]) %}" + LOOP
    + "{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x|tojson }}",
    "lists by filters": "{% set ns = namespace(x=[1]) %}" + LOOP
    + "{% set ns.x = [none, none]|map('default', ns.x, true)|list %}{% endfor %}{{ ns.x }}",
    "arguments of a macro": "{% macro f(n) %}{% if n %}{{ caller_of(n, a=kwargs, b=kwargs) }}"
    "{% else %}{{ kwargs }}{% endif %}{% endmacro %}"
    "{% macro caller_of(n) %}{{ f(n - 1, a=kwargs, b=kwargs) }}{% endmacro %}{{ f(60) }}",
    "a width": "{{ 'a'.ljust(999999999) }}",
    "a width of tabs": "{{ '\t'.expandtabs(999999999) }}",
    "a width by a filter": "{{ 'a'|center(999999999) }}",
    "a width in a format": "{{ '{:>999999999}'.format(1) }}",
    "a width in an inner format": "{{ '{:>{}}'.format(1, 999999999) }}",
    "a width in an old format": "{{ '%999999999d' % 1 }}",
    "a width by the filter for it": "{{ '%999999999d'|format(1) }}",
    "a width of JSON": "{{ [1]|tojson(indent=999999999) }}",
    "a width of a time": "{{ strftime_now('%999999999d') }}",
    "a precision": "{{ 1|round(999999999, 'ceil') }}",
    "a separator of JSON": LONG + "{{ range(9999)|list|tojson(separators=(s, s)) }}",
    "an indentation of JSON": LONG + "{{ range(9999)|list|tojson(indent=s) }}",
    "depths of JSON": "{% set ns = namespace(x=range(9999)|list) %}{% for i in range(150) %}"
    "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson(indent=100) }}",
    "a long value in a format": LONG + "{{ ('{0}' * 999).format([s]) }}",
    "a long value in an old format": LONG + "{{ ('%(a)s' * 999) % {'a': [s]} }}",
    "a long value in the filter": LONG + "{{ ('%(a)s' * 999)|format(a=s) }}",
    "a long value in an old format that quotes": LONG + "{{ ('%(a)r' * 99) % {'a': s} }}",
    "a width that is a value": "{{ '%*d' % (999999999, 1) }}",
    "a precision in an old format": "{{ '%.999999999f' % 1 }}",
    "a precision that is a value": "{{ '%.*f' % (999999999, 1) }}",
    "a text many times": "{{ 'a' * 999999999 }}{{ 999999999 * 'a' }}",
    "a list many times": "{{ [1] * 999999999 }}",
    "a list of long texts many times": LONG + "{{ [s] * 99999 }}",
    "a batch that is filled": "{{ [1]|batch(999999999, 'x')|list }}",
    "letters": "{% set ns = namespace(x='字' * 8) %}" + LOOP
    + "{% if ns.x|length < 9999999 %}{% set ns.x = ns.x ~ ns.x %}{% endif %}{% endfor %}"
    "{{ ns.x|list }}",
    "words": LONG + "{{ s.split() }}",
    "zeros": "{{ 'a'.zfill(999999999) }}",
    "a power": "{{ 10 ** 999999999 }}",
    "powers of powers": "{{ 10 ** 64 ** 64 }}",
    "squares of squares": "{% set ns = namespace(x=3) %}" + LOOP
    + "{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "a text of its own": "{{ lipsum(n=999999999) }}",
}  # fmt: skip


@pytest.mark.parametrize("source", [*NEVER_ENDING.values(), *MEMORY_FILLING.values()],
                         ids=[*NEVER_ENDING, *MEMORY_FILLING])  # fmt: skip
def test_a_template_comes_to_an_end(tokenizer: Tokenizer, source: str) -> None:
    template = ChatTemplate(source, tokenizer)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TemplateError) as raised:
        template.prompt(TURNS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # KiB
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize(
    "source",
    ["{{ " + "(" * 50_000 + ")" * 50_000 + " }}", "{% for a in b %}" * 30 + "{% endfor %}" * 30,
     "{% if a %}" * 20_000 + "{% endif %}" * 20_000],
    ids=["parentheses", "loops", "conditions"],
)  # fmt: skip
def test_a_template_nested_beyond_reason_is_refused_when_loading(
    tokenizer: Tokenizer, source: str
) -> None:
    with pytest.raises(CheckpointError, match="the chat template"):
        ChatTemplate(source, tokenizer)


REACHING_OUT = [
    "{{ ''.__class__.__mro__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{{ messages.clear() }}",
    "{{ messages[0].update(role='system') }}",
    "{{ (1).to_bytes(999999999, 'big') }}",
]
SEEING_NOTHING = [
    "{{ messages.__class__ }}",
    "{{ messages|attr('__class__') }}",
    "{{ messages|map(attribute='__class__')|join }}",
    "{{ self._TemplateReference__context }}",
    "{{ raise_exception.__globals__ }}",
    "{{ range.__self__ }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{{ context }}{{ environment }}{{ config }}{{ os }}",
]


@pytest.mark.parametrize("source", REACHING_OUT)
def test_a_template_reaches_nothing(tokenizer: Tokenizer, source: str) -> None:
    turns = [dict(turn) for turn in TURNS]
    with pytest.raises(TemplateError):
        ChatTemplate(source, tokenizer).prompt(turns)
    assert turns == TURNS


@pytest.mark.parametrize("source", SEEING_NOTHING)
def test_what_is_behind_a_value_reads_as_nothing(tokenizer: Tokenizer, source: str) -> None:
    prompt = ChatTemplate(source + "#", tokenizer).prompt(TURNS)
    assert prompt.tokens == ChatTemplate("#", tokenizer).prompt(TURNS).tokens


def test_what_templates_have_always_done_they_still_do(tokenizer: Tokenizer) -> None:
    source = (
        "{%- macro shown(m, mark='#') -%}{{ mark }}{{ m.role|upper }}: {{ m.content }}"
        "{%- endmacro -%}"
        "{%- set ns = namespace(last=none, parts=[]) -%}"
        "{%- for m in messages[::-1] if m.content is string -%}"
        "{%- set ns.last = m.content.split('l')[-1].strip() -%}"
        "{{ shown(m) ~ ('' if loop.last else '/') }}{%- endfor -%}"
        "{{ '%' }}|{{ messages|map(attribute='role')|join(', ') }}|{{ messages|selectattr("
        "'role', 'equalto', 'user')|list|length }}|{{ {'a': [1, 2.5, none]}|tojson }}|"
        "{{ ('a', 'b')|last }}|{{ ns.last }}|{{ '{}-{}'.format(1, 'x') }}|{{ 2 * 3 + 1 }}|"
        "{{ messages|groupby('role')|map(attribute='grouper')|list }}|{{ 'H' in messages[0].content"
        " and 'x' not in 'abc' }}|{{ missing is defined }}|{{ 'a\nb'|indent(2) }}"
    )
    expected = (
        "#ASSISTANT: Hello/#USER: Hi%|user, assistant|1|"
        "{\"a\": [1, 2.5, null]}|b|Hi|1-x|7|['assistant', 'user']|True|False|a\n  b"
    )
    prompt = ChatTemplate(source, tokenizer).prompt(TURNS)
    assert tokenizer.decode(prompt.tokens).removeprefix("<|begin_of_text|>") == expected


def test_a_long_conversation_is_far_within_the_bounds(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[int] = []
    spend = Work.spend
    monkeypatch.setattr(Work, "spend", lambda self, n: (spent.append(n), spend(self, n))[1])
    turns = [{"role": ("user", "assistant")[i % 2], "content": "word " * 100} for i in range(1000)]
    for source in (HERMES, LLAMA, THINKING, BITNET_TEMPLATE):
        spent.clear()
        ChatTemplate(source, tokenizer).prompt(turns)
        assert 0 < sum(spent) < MAX_WORK / 8
