"""Operations of OpenAI's responses."""

from collections.abc import Mapping
from typing import Final

from tercet_server.protocol.responses.events import (
    ArgumentsDeltaEvent,
    ArgumentsDoneEvent,
    ItemEvent,
    Lifecycle,
    PartEvent,
    ReasoningDeltaEvent,
    ReasoningDoneEvent,
    TextDeltaEvent,
    TextDoneEvent,
)
from tercet_server.protocol.responses.objects import DeletedResponse, ItemList, ResponseObject
from tercet_server.protocol.responses.request import CreateResponse
from tercet_server.protocol.tokenize import InputTokens
from tercet_server.reference.operation import Operation, Operations

_TAG: Final = "Responses"
_EVENTS: Final = (
    Lifecycle,
    ItemEvent,
    PartEvent,
    TextDeltaEvent,
    TextDoneEvent,
    ReasoningDeltaEvent,
    ReasoningDoneEvent,
    ArgumentsDeltaEvent,
    ArgumentsDoneEvent,
)
_STORY: Final = "Tell me a story about a dog named Max."

_FIELDS: Final[Mapping[str, str]] = {
    "input": "A text, or the items of a conversation: messages, calls, their outputs.",
    "instructions": "A system message for this response; later ones do not inherit it.",
    "previous_response_id": "A kept response that this one continues.",
    "store": "Whether the response can be retrieved and continued. Left out: true.",
    "background": "Answer at once, go on without the client; needs store.",
    "max_output_tokens": "Tokens of the response at most. Left out: as many as fit.",
    "max_tool_calls": "Of the server's own tools, of which it has none.",
    "max_tokens": "Refused: here it is called max_output_tokens.",
    "response_format": "Refused: here it is called text.format.",
    "prompt_logprobs": "Refused: /v1/completions tells them.",
    "return_token_ids": "Refused: /v1/chat/completions tells them.",
    "n": "1: a response is one answer.",
    "text": "format: free text, a JSON object, or JSON by a schema.",
    "reasoning": "effort: for models that reason; none thinks not at all.",
    "truncation": "auto drops the oldest items where the context is too small; disabled "
    "refuses. Left out: disabled.",
    "include": "message.output_text.logprobs tells log-probabilities; other values ask "
    "for what never occurs here.",
    "top_logprobs": "How many of the likeliest tokens to tell in each place.",
    "prompt_cache_key": "Ignored: prompts are recognised by their tokens.",
    "safety_identifier": "Whom the request is for; no answer depends on it.",
    "service_tier": "Ignored: there is one.",
    "stream_options": "Nothing is obfuscated, so there is nothing to choose.",
}

RESPONSES: Final[Operations] = {
    ("post", "/v1/responses"): Operation(
        _TAG,
        "Answer a conversation, and keep the answer",
        CreateResponse,
        ResponseObject,
        _EVENTS,
        {
            "a response": {"input": _STORY, "max_output_tokens": 20},
            "a stream": {"input": _STORY, "max_output_tokens": 20, "stream": True},
            "JSON by a schema": {
                "input": "What colour is the sky?",
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "sky",
                        "schema": {
                            "type": "object",
                            "properties": {"colour": {"enum": ["blue", "grey"]}},
                            "required": ["colour"],
                            "additionalProperties": False,
                        },
                    }
                },
            },
            "nothing kept": {"input": _STORY, "max_output_tokens": 20, "store": False},
        },
        _FIELDS,
        work="chat",
    ),
    ("post", "/v1/responses/input_tokens"): Operation(
        _TAG,
        "Count the tokens that a request's model would read",
        CreateResponse,
        InputTokens,
        examples={"a text": {"input": _STORY}},
        fields=_FIELDS,
    ),
    ("get", "/v1/responses/{response_id}"): Operation(
        _TAG, "Find a response again, or follow it", answer=ResponseObject, pieces=_EVENTS
    ),
    ("delete", "/v1/responses/{response_id}"): Operation(
        _TAG, "Forget a response", answer=DeletedResponse
    ),
    ("post", "/v1/responses/{response_id}/cancel"): Operation(
        _TAG, "Give up a response that goes on in the background", answer=ResponseObject
    ),
    ("get", "/v1/responses/{response_id}/input_items"): Operation(
        _TAG, "List what a response was asked", answer=ItemList
    ),
}
