"""Operations on tokens and vectors: the tokenizer, embeddings, decisions."""

from typing import Final

from tercet_server.protocol.chat import ChatCompletionRequest
from tercet_server.protocol.decisions import Decision, DecisionRequest
from tercet_server.protocol.embeddings import EmbeddingList, EmbeddingRequest
from tercet_server.protocol.tokenize import (
    ContentTokens,
    DetokenizeRequest,
    InputTokens,
    MessagesRequest,
    RenderedPrompt,
    TokenizeRequest,
    TokenizerInfo,
    Tokens,
    TokensText,
)
from tercet_server.reference.operation import Operation, Operations

_TAG: Final = "Tokenizer"
_HELLO: Final = [{"role": "user", "content": "Hello!"}]

_TOKENIZER: Final[Operations] = {
    ("post", "/tokenize"): Operation(
        _TAG,
        "Cut a text or a conversation into tokens",
        TokenizeRequest,
        Tokens,
        examples={
            "a text": {"prompt": "Once upon a time", "return_token_strs": True},
            "a conversation": {"messages": _HELLO},
        },
        other_answer=ContentTokens,
        fields={
            "prompt": "A text, as vLLM names it.",
            "messages": "A conversation; its tokens are those of the prompt that it becomes.",
            "content": "A text, as llama.cpp names it; the answer is llama.cpp's too.",
            "with_pieces": "With content: tell each token's text, or bytes where it is none.",
            "parse_special": "true: the texts of special tokens always count.",
            "return_token_strs": "Tell each token's text. Left out: false.",
        },
    ),
    ("post", "/detokenize"): Operation(
        _TAG,
        "Put tokens together to a text",
        DetokenizeRequest,
        TokensText,
        examples={"a few tokens": {"tokens": [72, 101]}},
        fields={"tokens": "Token ids."},
    ),
    ("post", "/apply-template"): Operation(
        _TAG,
        "Show the prompt that messages become",
        MessagesRequest,
        RenderedPrompt,
        examples={"a conversation": {"messages": _HELLO}},
    ),
    ("get", "/tokenizer_info"): Operation(
        _TAG, "Tell of the tokenizer and the chat template", answer=TokenizerInfo
    ),
}

TOKENS: Final[Operations] = {
    **_TOKENIZER,
    **{(method, f"/v1{path}"): operation for (method, path), operation in _TOKENIZER.items()},
    ("post", "/v1/chat/completions/input_tokens"): Operation(
        _TAG,
        "Count the tokens of a chat request's prompt",
        ChatCompletionRequest,
        InputTokens,
        examples={"a conversation": {"messages": _HELLO}},
    ),
    ("post", "/v1/embeddings"): Operation(
        "Embeddings",
        "Turn texts into vectors: a causal model's hidden states, for rough likeness",
        EmbeddingRequest,
        EmbeddingList,
        examples={
            "one text": {"input": "Once upon a time"},
            "several texts, as base64": {
                "input": ["One day", "At night"],
                "encoding_format": "base64",
            },
        },
        fields={
            "input": "A text, token ids, or a list of either.",
            "encoding_format": "float: numbers; base64: little-endian 32-bit floats. Left out: "
            "float.",
            "dimensions": "Refused unless it is what the model has.",
            "pooling": "mean of a text's hidden states, or the last token's. Left out: mean.",
        },
        work="embeddings",
    ),
    ("post", "/v1/decisions"): Operation(
        "Decisions",
        "Answer questions by token probabilities; nothing is written",
        DecisionRequest,
        Decision,
        examples={
            "three questions": {
                "input": "The sun was warm, and Max was happy.",
                "questions": [
                    {"type": "predicate", "instructions": "Is it warm?"},
                    {
                        "type": "choice",
                        "instructions": "Who is it about?",
                        "choices": [{"value": "Max"}, {"value": "Lily"}],
                    },
                    {
                        "type": "score",
                        "instructions": "How happy is he?",
                        "levels": [{"label": "sad"}, {"label": "calm"}, {"label": "happy"}],
                    },
                ],
            }
        },
        fields={
            "input": "What is decided about: a text, or a conversation.",
            "questions": "A predicate gets a probability, a choice one for each option, a score "
            "one for each level and their mean.",
        },
        work="decisions",
    ),
}
