"""Chat templates in the manner of families that have tools or think, cut to what matters."""

HERMES = """\
{%- if tools %}{{ '<|system|>' }}
{%- if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}
You may call functions:<tools>
{%- for tool in tools %}{{ '\\n' }}{{ tool | tojson }}{% endfor %}</tools>
For each call return <tool_call>{"name": <function-name>, "arguments": <args-json>}</tool_call>
{%- elif messages[0].role == 'system' %}{{ '<|system|>' + messages[0].content }}{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}{{ '<|tool|>' + message.name + ':' + message.content }}
{%- elif message.role != 'system' %}{{ '<|' + message.role + '|>' + message.content }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}{{ '}</tool_call>' }}
{%- endfor %}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""

THINKING = HERMES.removesuffix("{% endif %}") + (
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)
THINKING_IN_PROMPT = HERMES.removesuffix("{% endif %}") + "{{ '<think>\\n' }}{% endif %}"

LLAMA = """\
{%- for message in messages %}
{%- if message.tool_calls is defined %}
{%- if message.tool_calls | length != 1 %}{{ raise_exception('one call at a time') }}{% endif %}
{%- set call = message.tool_calls[0].function %}
{{- '<|assistant|>{"name": "' + call.name + '", "parameters": ' }}{{ call.arguments | tojson }}}
{%- elif message.role == 'tool' %}{{ '<|ipython|>' + message.content }}
{%- else %}{{ '<|' + message.role + '|>' + message.content }}{% endif %}{% endfor %}
{%- if tools %}Respond in the format {"name": function name, "parameters": dictionary}.
{%- for tool in tools %}{{ '\\n' }}{{ tool | tojson }}{% endfor %}{% endif %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""

TOOL_MARKS = ("<tool_call>", "</tool_call>")
THINK_MARKS = ("<think>", "</think>")
