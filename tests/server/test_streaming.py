"""Streams, as bytes: what OpenAI's clients parse."""

import json
import re
import threading
from collections.abc import Callable
from typing import Any

import httpx

from tercet_engine import AsyncEngine
from tests.server.conftest import CHAT, Service, listening, serving

CHAT_STREAM = """\
data: {"id":"chatcmpl-X","object":"chat.completion.chunk","created":0,"model":"toy",\
"system_fingerprint":"tc-0123456789abcdef","choices":[{"index":0,\
"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-X","object":"chat.completion.chunk","created":0,"model":"toy",\
"system_fingerprint":"tc-0123456789abcdef","choices":[{"index":0,\
"delta":{"content":"?"},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-X","object":"chat.completion.chunk","created":0,"model":"toy",\
"system_fingerprint":"tc-0123456789abcdef","choices":[{"index":0,\
"delta":{},"logprobs":null,"finish_reason":"length"}]}

data: [DONE]

"""

COMPLETION_STREAM_WITH_USAGE = """\
data: {"id":"cmpl-X","object":"text_completion","created":0,"model":"toy",\
"system_fingerprint":"tc-0123456789abcdef","choices":[{"index":0,\
"text":"?","logprobs":null,"finish_reason":"length"}],"usage":null}

data: {"id":"cmpl-X","object":"text_completion","created":0,"model":"toy",\
"system_fingerprint":"tc-0123456789abcdef","choices":[],\
"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11,\
"prompt_tokens_details":{"cached_tokens":0}}}

data: [DONE]

"""


def transcript_of(response: httpx.Response) -> str:
    """The bytes, but for what differs each time and for the one letter of the answer."""
    text = re.sub(r'"id":"(chatcmpl|cmpl)-[0-9a-f]{32}"', r'"id":"\1-X"', response.text)
    text = re.sub(r'"created":\d+', '"created":0', text)
    return re.sub(r'"(content|text)":"[a-z ]"', r'"\1":"?"', text)


def events_of(response: httpx.Response) -> list[Any]:
    """The data of every event, [DONE] checked and left out."""
    assert response.status_code == 200, response.text
    *events, done, end = response.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


async def test_a_chat_stream_byte_for_byte(service: Service) -> None:
    response = await service.chat(max_tokens=1, stream=True)
    assert transcript_of(response) == CHAT_STREAM


async def test_a_completion_stream_with_usage_byte_for_byte(service: Service) -> None:
    options = {"include_usage": True}
    response = await service.complete(max_tokens=1, stream=True, stream_options=options)
    assert transcript_of(response) == COMPLETION_STREAM_WITH_USAGE


async def test_the_headers_of_a_stream_keep_proxies_from_holding_it_back(service: Service) -> None:
    headers = (await service.chat(max_tokens=1, stream=True)).headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-request-id"].startswith("req_")


async def test_streamed_text_joined_is_the_whole_text(service: Service) -> None:
    whole = (await service.chat(max_tokens=60)).json()["choices"][0]["message"]["content"]
    events = events_of(await service.chat(max_tokens=60, stream=True))
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in events) == whole


async def test_every_choice_has_one_role_and_one_reason(service: Service) -> None:
    events = events_of(await service.chat(n=3, temperature=1, max_tokens=9, stream=True))

    choices = [event["choices"][0] for event in events]
    roles = [choice["index"] for choice in choices if choice["delta"].get("role")]
    reasons = [choice["index"] for choice in choices if choice["finish_reason"]]
    assert sorted(roles) == sorted(reasons) == [0, 1, 2]


async def test_all_chunks_share_one_id_and_one_time(service: Service) -> None:
    events = events_of(await service.chat(n=2, max_tokens=9, stream=True))
    assert len({(event["id"], event["created"]) for event in events}) == 1


async def test_without_include_usage_no_chunk_mentions_usage(service: Service) -> None:
    response = await service.chat(max_tokens=5, stream=True, stream_options={})
    assert "usage" not in response.text


async def test_stream_options_without_stream_are_refused(service: Service) -> None:
    response = await service.chat(stream_options={"include_usage": True})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "stream_options"


async def test_what_is_wrong_before_the_first_byte_is_an_ordinary_error(service: Service) -> None:
    response = await service.chat(max_tokens=10_000, stream=True)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"


async def test_chunks_arrive_while_the_rest_is_being_generated(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    step = threading.Semaphore(2)  # the prompt in one, the second token in another
    engine = toy_engines(before_step=lambda: step.acquire(timeout=20))
    body = {**CHAT, "stream": True, "max_tokens": 4, "ignore_eos": True}

    async with (
        listening(engine) as live,
        httpx.AsyncClient(base_url=live.url) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        text = ""
        lines = response.aiter_lines()
        async for line in lines:
            if line:
                text += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
            if len(text) == 2:  # the engine stands still, and these are here
                break
        step.release(2)
        rest = [line async for line in lines if line]
    assert rest[-1] == "data: [DONE]"


async def test_an_error_after_the_first_byte_is_an_event_and_the_end(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    def fail() -> None:
        message = "the machine is on fire"
        raise RuntimeError(message)

    async with serving(toy_engines(before_step=fail)) as service:
        response = await service.chat(stream=True)

    assert response.status_code == 200
    _role, error, end = response.text.split("\n\n")
    assert end == ""
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "engine_dead"
    assert "on fire" not in response.text


async def test_a_silent_stream_is_kept_alive_by_comments(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))
    body = {**CHAT, "stream": True, "max_tokens": 1}

    async with (
        listening(engine, ping_seconds=0.05) as live,
        httpx.AsyncClient(base_url=live.url) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith(":"):
                break
        gate.set()
    assert line == ": keep-alive"


async def test_usage_can_be_told_in_every_chunk(service: Service) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    for ask in (service.chat, service.complete):
        events = events_of(await ask(stream=True, stream_options=options, max_tokens=5))
        counts = [event["usage"]["completion_tokens"] for event in events]
        assert counts == sorted(counts)
        assert counts[-1] == 5
        for event in events:
            usage = event["usage"]
            assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_a_chunks_usage_counts_the_tokens_told_not_those_the_engine_has(
    embedded: Service,
) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    fields = {"stream": True, "stream_options": options, "max_tokens": 20, "n": 2}
    for ask in (embedded.chat, embedded.complete):
        *events, last = events_of(await ask(return_token_ids=True, **fields))
        num_told = 0
        for event in events:
            num_told += len(event["choices"][0]["token_ids"])
            assert event["usage"]["completion_tokens"] == num_told
        assert last["usage"]["completion_tokens"] == num_told
        assert num_told > 0


async def test_usage_in_every_chunk_is_part_of_usage(service: Service) -> None:
    events = events_of(
        await service.chat(
            stream=True, stream_options={"continuous_usage_stats": True}, max_tokens=5
        )
    )
    assert not any("usage" in event for event in events)


async def test_a_streams_first_chunk_has_the_prompts_ids(service: Service, toy_engine) -> None:
    fields = {"return_token_ids": True, "max_tokens": 4, "n": 2, "temperature": 1, "seed": 3}
    whole = (await service.chat(**fields)).json()
    first, *others = events_of(await service.chat(stream=True, **fields))
    assert first["prompt_token_ids"] == whole["prompt_token_ids"]
    assert not any("prompt_token_ids" in event for event in others)
    for index, choice in enumerate(whole["choices"]):
        streamed = [
            token
            for event in others
            if event["choices"][0]["index"] == index
            for token in event["choices"][0]["token_ids"]
        ]
        assert streamed == choice["token_ids"]
