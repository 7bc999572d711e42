"""What each field of a request does, in a sentence. Types and bounds are the models' to tell."""

from collections.abc import Mapping
from typing import Final

FIELDS: Final[Mapping[str, str]] = {
    # what is asked
    "model": "One of the names that /v1/models lists. Left out: the first of them.",
    "messages": "The conversation, oldest first.",
    "prompt": "A text, token ids, or a list of either. Token ids are taken as they are: no BOS.",
    "user": "Whom the request is for; no answer depends on it.",
    "metadata": "Kept by nobody; no answer depends on it.",
    # how much
    "max_tokens": "Tokens of an answer at most. Chat: the old name of max_completion_tokens; left "
    "out: as many as the context has room for. Completions: 16 if left out.",
    "max_completion_tokens": "Tokens of an answer at most. Left out: as many as fit.",
    "min_tokens": "Tokens before which no answer ends. Left out: 0.",
    "n": "Answers for each prompt. Left out: 1. They share the prompt's computation.",
    "best_of": "Completions to generate, of which the n likeliest are given. Left out: n.",
    "echo": "Put the prompt before the answer; with logprobs it is scored too.",
    "stop": "Up to four texts at which an answer ends; they are not part of it.",
    "include_stop_str_in_output": "Let the text at which an answer ended be part of it.",
    "stop_token_ids": "Tokens at which an answer ends, beside the model's own.",
    "ignore_eos": "Go on where the model would end; for benchmarks.",
    # how tokens are drawn
    "temperature": "0 takes the likeliest token. Left out: what the model's authors recommend, "
    "or 1.",
    "top_p": "Draw among the likeliest tokens of so much probability together. Left out: as the "
    "model's authors recommend, or 1.",
    "top_k": "Draw among so many likeliest tokens; 0 or -1: all. Left out: as the model's authors "
    "recommend, or all.",
    "min_p": "Leave out tokens less likely than this share of the likeliest. Left out: 0.",
    "seed": "The same seed, prompt and parameters give the same answer, whatever else the server "
    "does. Left out: drawn, and written to the server's log.",
    "presence_penalty": "Taken from the logit of tokens that were generated. Left out: 0.",
    "frequency_penalty": "The same for each time that they were. Left out: 0.",
    "repetition_penalty": "Over 1: tokens of the prompt and the answer become less likely. "
    "Left out: 1.",
    "logit_bias": "What to add to the logits of token ids.",
    # what an answer looks like
    "response_format": "Free text, a JSON object, or JSON by a schema. It is enforced token by "
    "token; a schema that cannot be is refused.",
    "structured_outputs": "The same as vLLM spells it: json, regex, choice or grammar.",
    "json_schema": "A JSON schema; llama.cpp's spelling.",
    "guided_json": "A JSON schema; vLLM's older spelling.",
    "guided_regex": "A regular expression; vLLM's older spelling.",
    "guided_choice": "Texts to choose among; vLLM's older spelling.",
    "guided_grammar": "A grammar in GBNF; vLLM's older spelling.",
    "regex": "A regular expression that the answer matches as a whole.",
    "choice": "Texts of which the answer is one.",
    "grammar": "A grammar in GBNF that the answer obeys.",
    # tools and thoughts
    "tools": "Functions that the model may call; calls obey their schemas.",
    "tool_choice": "none, auto, required, or one function by its name. Left out: auto.",
    "parallel_tool_calls": "Whether one answer may make several calls. Left out: true.",
    "reasoning_effort": "For models that reason: none thinks not at all.",
    "thinking_token_budget": "For models that reason: tokens of thought at most.",
    "chat_template_kwargs": "Variables for the model's chat template.",
    # what is told beside it
    "logprobs": "Chat: whether to tell how likely each token was. Completions: how many of the "
    "likeliest tokens to tell in each place.",
    "top_logprobs": "How many of the likeliest tokens to tell in each place; needs logprobs.",
    "prompt_logprobs": "The same for the prompt's tokens; not in streams.",
    "return_token_ids": "Tell the token ids of the prompt and the answer.",
    "return_tokens_as_token_ids": "In logprobs, name tokens by id, as token_id:5, not by text.",
    "stream": "Send the answer as it comes, as server-sent events.",
    "stream_options": "include_usage: end the stream with a chunk of usage. "
    "continuous_usage_stats: every chunk tells it.",
    # how it is computed
    "priority": "Lower goes first where requests wait. Left out: 0.",
    "cache_salt": "Share cached prompts only with requests of the same salt.",
}
