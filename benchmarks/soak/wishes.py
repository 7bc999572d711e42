"""What well-behaved clients ask for: every API, every way to ask, little of it twice.

Salts, schemas, expressions and names are drawn anew each time, so that whatever the server kept of
them would grow; prompts share beginnings, so that the prefix cache has something to find.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from benchmarks.soak.wire import LIMITED_KEY

Body = dict[str, Any]
_LIMITED_SHARE: Final = 0.03
DONE: Final = b"data: [DONE]"
_HEROES: Final = ("dog", "cat", "rabbit", "dragon", "girl", "boy", "bear", "bird")
_NAMES: Final = ("Max", "Lily", "Tom", "Bella", "Sam", "Mia", "Finn", "Zoe")
_WORDS: Final = ("once", "upon", "a", "time", "there", "was", "little", "who", "had", "red", "ball")


@dataclass(frozen=True, slots=True)
class Wish:
    """One request that a sound server grants, or refuses with 429.

    Attributes:
        kind: under which its answers are counted.
        path: with its query.
        body: of a POST; None: it is a GET.
        end: what a whole streamed answer holds; empty: it is not streamed.
        headers: beside the usual ones.
    """

    kind: str
    path: str
    body: Body | None = None
    end: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def draw_wish(draw: random.Random) -> Wish:
    """One of all, the heavy ones most often."""
    (make,) = draw.choices(list(_MAKERS), weights=list(_MAKERS.values()))
    wish = make(draw)
    if draw.random() < _LIMITED_SHARE:
        return replace(wish, headers={"authorization": f"Bearer {LIMITED_KEY}"})
    return wish


def story(draw: random.Random) -> str:
    return f"Tell me a story about a {draw.choice(_HEROES)} named {draw.choice(_NAMES)}."


def nonce(draw: random.Random) -> str:
    return f"{draw.getrandbits(48):012x}"


def long_text(draw: random.Random, num_words: int) -> str:
    """The first half of it is one of four, so that others have begun alike."""
    shared = random.Random(draw.randrange(4))
    half = num_words // 2
    return " ".join(shared.choices(_WORDS, k=half) + draw.choices(_WORDS, k=half))


def messages(draw: random.Random) -> list[Body]:
    if draw.random() < 0.1:
        return [{"role": "user", "content": f"{long_text(draw, 800)} {story(draw)}"}]
    turns: list[Body] = [{"role": "user", "content": story(draw)}]
    for _ in range(draw.choice((0, 0, 0, 1, 2))):
        turns += [
            {"role": "assistant", "content": long_text(draw, 40)},
            {"role": "user", "content": f"Then what did {draw.choice(_NAMES)} do?"},
        ]
    return turns


def schema(draw: random.Random) -> Body:
    """One that was never seen before."""
    names = [f"{draw.choice(_WORDS)}_{nonce(draw)[:4]}" for _ in range(draw.randint(1, 3))]
    kinds: list[Body] = [
        {"type": "boolean"},
        {"type": "integer"},
        {"enum": list(draw.sample(_NAMES, 3))},
        {"type": "array", "items": {"enum": list(_HEROES)}, "maxItems": 4},
    ]
    return {
        "type": "object",
        "properties": {name: draw.choice(kinds) for name in names},
        "required": names,
        "additionalProperties": False,
    }


def tools(draw: random.Random) -> list[Body]:
    """Two functions in OpenAI's form."""
    return [
        {"type": "function", "function": {"name": f"{name}_{nonce(draw)[:6]}", "parameters": form}}
        for name, form in (("find", schema(draw)), ("tell", schema(draw)))
    ]


def structure(draw: random.Random) -> Body:
    """One of the ways to say what an answer must look like."""
    grammar = f'start: "{draw.choice(_NAMES)} " /[a-z]{{2,9}}/ " {nonce(draw)[:4]}"'
    ways: list[Body] = [
        {"response_format": {"type": "json_object"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "it", "schema": schema(draw)},
            }
        },
        {"structured_outputs": {"regex": f"[A-Z][a-z]{{2,9}} {nonce(draw)[:6]}"}},
        {"structured_outputs": {"choice": [*_NAMES, nonce(draw)]}},
        {"structured_outputs": {"grammar": grammar}},
    ]
    return draw.choice(ways)


def _sampling(draw: random.Random) -> Body:
    """Any of what changes how tokens are drawn."""
    every: list[Body] = [
        {"temperature": 0},
        {"top_p": 0.9},
        {"top_k": 20, "min_p": 0.05},
        {"repetition_penalty": 1.1, "presence_penalty": 0.3},
        {"seed": draw.randrange(1 << 31)},
        {"stop": ["\n\n", draw.choice(_NAMES)]},
        {"cache_salt": nonce(draw)},
        {"logit_bias": {"11": -2.0, "13": 1.5}},
        {"user": nonce(draw)},
    ]
    chosen: Body = {}
    for one in draw.sample(every, k=draw.randint(0, 3)):
        chosen |= one
    return chosen


def _length(draw: random.Random) -> int:
    return min(400, max(1, int(draw.expovariate(1 / 60))))


def _streamed(draw: random.Random, body: Body) -> tuple[Body, bytes]:
    if draw.random() < 0.4:
        return body, b""
    return {**body, "stream": True, "stream_options": {"include_usage": draw.random() < 0.5}}, DONE


def _chat(draw: random.Random) -> Wish:
    body: Body = {"messages": messages(draw), "max_completion_tokens": _length(draw)}
    body |= _sampling(draw)
    if draw.random() < 0.15:
        body |= {"n": draw.randint(2, 4)}
    if draw.random() < 0.15:
        body |= {"logprobs": True, "top_logprobs": draw.randint(0, 5)}
    body, end = _streamed(draw, body)
    return Wish("chat", "/v1/chat/completions", body, end)


def _structured(draw: random.Random) -> Wish:
    body, end = _streamed(draw, {"messages": messages(draw), "max_completion_tokens": 80})
    return Wish("structured", "/v1/chat/completions", body | structure(draw), end)


def _tools(draw: random.Random) -> Wish:
    choice = draw.choice(("auto", "required", "none"))
    body, end = _streamed(draw, {"messages": messages(draw), "max_completion_tokens": 120})
    return Wish(
        "tools", "/v1/chat/completions", body | {"tools": tools(draw), "tool_choice": choice}, end
    )


def _completion(draw: random.Random) -> Wish:
    prompts: list[Any] = [
        long_text(draw, draw.choice((6, 30, 300))),
        ["One day", "At night", long_text(draw, 20)],
        [draw.randrange(4000) for _ in range(40)],
    ]
    body: Body = {"prompt": draw.choice(prompts), "max_tokens": _length(draw)} | _sampling(draw)
    extras: list[Body] = [{}, {}, {"n": 3}, {"logprobs": 3}, {"echo": True}, {"best_of": 2}]
    if "best_of" in (extra := draw.choice(extras)):
        return Wish("completions", "/v1/completions", body | extra)
    body, end = _streamed(draw, body | extra)
    return Wish("completions", "/v1/completions", body, end)


def _scores(draw: random.Random) -> Wish:
    body = {"prompt": long_text(draw, 60), "max_tokens": 0, "echo": True, "logprobs": 1}
    return Wish("completions", "/v1/completions", body)


def _messages(draw: random.Random) -> Wish:
    body: Body = {"messages": messages(draw), "max_tokens": _length(draw), "system": story(draw)}
    if draw.random() < 0.2:
        tool = {"name": f"find_{nonce(draw)[:6]}", "input_schema": schema(draw)}
        body |= {"tools": [tool], "tool_choice": {"type": draw.choice(("auto", "any"))}}
    if draw.random() < 0.2:
        body |= {"stop_sequences": [draw.choice(_NAMES)]}
    stream = draw.random() < 0.6
    end = b"event: message_stop" if stream else b""
    return Wish("messages", "/v1/messages", body | {"stream": stream}, end)


def _ollama(draw: random.Random) -> Wish:
    body: Body = {"options": {"num_predict": _length(draw), "seed": draw.randrange(9999)}}
    if draw.random() < 0.2:
        body |= {"format": schema(draw)}
    stream = draw.random() < 0.6
    body |= {"stream": stream}
    end = b'"done":true' if stream else b""
    if draw.random() < 0.5:
        return Wish("ollama", "/api/chat", body | {"messages": messages(draw)}, end)
    return Wish("ollama", "/api/generate", body | {"prompt": story(draw)}, end)


def _embeddings(draw: random.Random) -> Wish:
    texts = [long_text(draw, draw.randint(4, 60)) for _ in range(draw.randint(1, 24))]
    if draw.random() < 0.2:
        return Wish("embeddings", "/api/embed", {"input": texts})
    form = draw.choice(("float", "base64"))
    return Wish("embeddings", "/v1/embeddings", {"input": texts, "encoding_format": form})


def _decisions(draw: random.Random) -> Wish:
    names = [{"value": name} for name in draw.sample(_NAMES, 3)]
    questions: list[Body] = [
        {"type": "predicate", "instructions": f"Is it about a {draw.choice(_HEROES)}?"},
        {"type": "choice", "instructions": "Who is it about?", "choices": names},
        {
            "type": "score",
            "instructions": "How happy is it?",
            "levels": [{"label": "sad"}, {"label": "calm"}, {"label": "happy"}],
        },
    ]
    body = {"input": long_text(draw, 30), "questions": questions}
    return Wish("decisions", "/v1/decisions", body)


def _tokens(draw: random.Random) -> Wish:
    asked: list[tuple[str, Body]] = [
        ("/tokenize", {"prompt": long_text(draw, draw.choice((10, 4000)))}),
        ("/v1/tokenize", {"messages": messages(draw), "return_token_strs": True}),
        ("/detokenize", {"tokens": [draw.randrange(4000) for _ in range(50)]}),
        ("/apply-template", {"messages": messages(draw)}),
        ("/v1/chat/completions/input_tokens", {"messages": messages(draw)}),
        ("/v1/messages/count_tokens", {"messages": messages(draw)}),
        ("/v1/responses/input_tokens", {"input": story(draw)}),
    ]
    path, body = draw.choice(asked)
    return Wish("tokens", path, body)


def _look(draw: random.Random) -> Wish:
    paths = ("/v1/models", "/api/tags", "/api/ps", "/api/version", "/openapi.json", "/", "/docs")
    return Wish("pages", draw.choice((*paths, "/health", "/ready", "/tokenizer_info")))


_MAKERS: Final[Mapping[Callable[[random.Random], Wish], float]] = {
    _chat: 30,
    _structured: 8,
    _tools: 6,
    _completion: 14,
    _scores: 2,
    _messages: 10,
    _ollama: 10,
    _embeddings: 4,
    _decisions: 4,
    _tokens: 8,
    _look: 5,
}
