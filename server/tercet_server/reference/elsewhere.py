"""Operations of other APIs than OpenAI's: Anthropic's messages, and Ollama's."""

from collections.abc import Mapping
from typing import Any, Final

from tercet_server.protocol.messages import CountTokensRequest, MessagesRequest
from tercet_server.protocol.messages_answer import (
    AnsweredMessage,
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    TokenCount,
)
from tercet_server.protocol.ollama import (
    OllamaChatRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
    OllamaModelRequest,
)
from tercet_server.protocol.ollama_answer import (
    OllamaChatLine,
    OllamaEmbedding,
    OllamaEmbeddings,
    OllamaGenerateLine,
    OllamaModelInfo,
    OllamaModels,
    OllamaVersion,
)
from tercet_server.reference.operation import Operation, Operations

_QUESTION: Final = "Tell me a story about a dog named Max."
_STORY: Final = [{"role": "user", "content": _QUESTION}]
_SKY: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"colour": {"enum": ["blue", "grey"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
_MESSAGE_FIELDS: Final[Mapping[str, str]] = {
    "messages": "The conversation, oldest first; it ends with the user's turn.",
    "max_tokens": "Tokens of the answer at most; fewer where the context has no room for them.",
    "system": "What the model is told before.",
    "stop_sequences": "Texts at which the answer ends; it tells which one it was.",
    "tools": "Tools that the model may call; calls obey their input_schema.",
    "tool_choice": "auto, any, none, or one tool by its name. Left out: auto.",
    "thinking": "For models that reason: whether, and for how many tokens at most.",
    "output_config": "JSON by a schema, and effort.",
}
_LINE_FIELDS: Final[Mapping[str, str]] = {
    "stream": "Send lines of JSON as the answer comes. Left out: true.",
    "options": "How to draw. Options that are the operator's, like num_ctx, are ignored.",
    "format": "json, or a JSON schema that the answer obeys.",
    "think": "For models that reason: whether, or how much.",
    "keep_alive": "Ignored: the model stays.",
    "truncate": "Ignored: what is too long is refused.",
    "shift": "Ignored: an answer ends where the context does.",
    "raw": "Continue the prompt as it is, without the model's template.",
    "system": "What the model is told before.",
    "prompt": "What is asked.",
}

ANTHROPIC: Final[Operations] = {
    ("post", "/v1/messages"): Operation(
        "Anthropic",
        "Answer a conversation",
        MessagesRequest,
        AnsweredMessage,
        (MessageStart, Ping, BlockStart, BlockDelta, BlockStop, MessageDelta, MessageStop),
        {
            "an answer": {"max_tokens": 20, "messages": _STORY},
            "a stream": {"max_tokens": 20, "messages": _STORY, "stream": True},
        },
        _MESSAGE_FIELDS,
        work="chat",
    ),
    ("post", "/v1/messages/count_tokens"): Operation(
        "Anthropic",
        "Count the tokens of a conversation",
        CountTokensRequest,
        TokenCount,
        examples={"a conversation": {"messages": _STORY}},
        fields=_MESSAGE_FIELDS,
    ),
}

OLLAMA: Final[Operations] = {
    ("post", "/api/chat"): Operation(
        "Ollama",
        "Answer a conversation",
        OllamaChatRequest,
        OllamaChatLine,
        (OllamaChatLine,),
        {
            "a stream": {"messages": _STORY, "options": {"num_predict": 20}},
            "JSON by a schema": {"messages": _STORY, "format": _SKY, "stream": False},
        },
        _LINE_FIELDS,
        work="chat",
    ),
    ("post", "/api/generate"): Operation(
        "Ollama",
        "Answer a prompt, or continue it",
        OllamaGenerateRequest,
        OllamaGenerateLine,
        (OllamaGenerateLine,),
        {
            "a whole answer": {
                "prompt": _QUESTION,
                "stream": False,
                "options": {"num_predict": 20, "seed": 7},
            }
        },
        _LINE_FIELDS,
        work="text_completion",
    ),
    ("post", "/api/embed"): Operation(
        "Ollama",
        "Turn texts into vectors",
        OllamaEmbedRequest,
        OllamaEmbeddings,
        examples={"two texts": {"input": ["One day", "At night"]}},
        fields={
            "input": "A text, or a list of texts.",
            "truncate": "Cut what is too long instead of refusing it. Left out: true.",
        },
        work="embeddings",
    ),
    ("post", "/api/embeddings"): Operation(
        "Ollama",
        "Turn one text into a vector, in the older form",
        OllamaEmbeddingsRequest,
        OllamaEmbedding,
        examples={"one text": {"prompt": "Once upon a time"}},
        fields={"prompt": "The text."},
        work="embeddings",
    ),
    ("post", "/api/show"): Operation(
        "Ollama",
        "Tell all about the model",
        OllamaModelRequest,
        OllamaModelInfo,
        examples={"the model": {}},
    ),
    ("get", "/api/tags"): Operation("Ollama", "List the models there are", answer=OllamaModels),
    ("get", "/api/ps"): Operation("Ollama", "List the models in memory", answer=OllamaModels),
    ("get", "/api/version"): Operation(
        "Ollama", "Which Ollama's API is spoken", answer=OllamaVersion
    ),
}
