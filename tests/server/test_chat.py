"""POST /v1/chat/completions, answered whole."""

import httpx
import pytest

from tercet_engine import GenerationDefaults
from tercet_server.protocol.chat import ChatCompletionRequest
from tercet_server.services.sampling import sampling_params
from tests.server.conftest import Service


def text_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


async def test_an_answer_has_the_shape_of_openais(service: Service) -> None:
    response = await service.chat(max_tokens=3)

    answer = response.json()
    assert response.headers["content-type"] == "application/json"
    assert answer.pop("id").startswith("chatcmpl-")
    assert isinstance(answer.pop("created"), int)
    assert len(answer["choices"][0]["message"].pop("content")) == 3
    assert answer == {
        "object": "chat.completion",
        "model": "toy",
        "system_fingerprint": "tc-0123456789abcdef",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "refusal": None},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": 24,
            "completion_tokens": 3,
            "total_tokens": 27,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


async def test_an_answer_that_the_model_ends_says_stop(service: Service) -> None:
    answer = (await service.chat()).json()
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_a_second_request_finds_its_prompt_in_the_cache(service: Service) -> None:
    await service.chat(max_tokens=1)
    usage = (await service.chat(max_tokens=1)).json()["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 16}


async def test_the_same_seed_gives_the_same_text(service: Service) -> None:
    first = await service.chat(temperature=1, seed=7, max_tokens=20)
    second = await service.chat(temperature=1, seed=7, max_tokens=20)
    assert text_of(first) == text_of(second)


async def test_without_a_seed_each_request_draws_its_own(service: Service) -> None:
    first = await service.chat(temperature=1, max_tokens=20, ignore_eos=True)
    second = await service.chat(temperature=1, max_tokens=20, ignore_eos=True)
    assert text_of(first) != text_of(second)


async def test_a_negative_seed_is_a_seed(service: Service) -> None:
    response = await service.chat(seed=-1, max_tokens=1)
    assert response.status_code == 200


async def test_choices_are_indexed_and_the_prompt_counts_once(service: Service) -> None:
    answer = (await service.chat(n=3, temperature=1, seed=1, max_tokens=5)).json()

    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in answer["choices"]}) == 3
    assert answer["usage"]["prompt_tokens"] == 24
    assert answer["usage"]["completion_tokens"] == 15


async def test_the_first_of_several_choices_is_the_one_that_comes_alone(service: Service) -> None:
    alone = await service.chat(temperature=1, seed=1, max_tokens=9)
    several = await service.chat(temperature=1, seed=1, max_tokens=9, n=2)
    assert text_of(alone) == text_of(several)


async def test_text_parts_are_the_lines_of_a_message(service: Service) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    in_parts = await service.chat(messages=[{"role": "user", "content": parts}], max_tokens=9)
    whole = await service.chat(messages=[{"role": "user", "content": "a\nb"}], max_tokens=9)
    assert text_of(in_parts) == text_of(whole)


async def test_a_developers_message_is_the_systems(service: Service) -> None:
    user = {"role": "user", "content": "hi"}
    new = await service.chat(messages=[{"role": "developer", "content": "x"}, user], max_tokens=9)
    old = await service.chat(messages=[{"role": "system", "content": "x"}, user], max_tokens=9)
    assert text_of(new) == text_of(old)


async def test_what_the_server_answered_can_be_sent_back_to_it(service: Service) -> None:
    said = (await service.chat(max_tokens=5)).json()["choices"][0]["message"]
    said |= {"tool_calls": None, "function_call": None, "audio": None, "annotations": []}
    again = {"role": "user", "content": "and then?"}
    response = await service.chat(messages=[said, again], max_tokens=5)
    assert response.status_code == 200


async def test_a_stop_string_ends_the_text_and_is_not_in_it(service: Service) -> None:
    whole = text_of(await service.chat(max_tokens=30))
    stop = whole[10:12]
    response = await service.chat(max_tokens=30, stop=stop)
    assert text_of(response) == whole[: whole.index(stop)]
    assert response.json()["choices"][0]["finish_reason"] == "stop"


async def test_ignore_eos_goes_on_to_the_limit(service: Service) -> None:
    answer = (await service.chat(ignore_eos=True, max_tokens=200)).json()
    assert answer["usage"]["completion_tokens"] == 200


async def test_max_completion_tokens_is_the_new_name_of_max_tokens(service: Service) -> None:
    answer = (await service.chat(max_completion_tokens=4)).json()
    assert answer["usage"]["completion_tokens"] == 4


async def test_two_limits_that_differ_are_refused(service: Service) -> None:
    response = await service.chat(max_tokens=4, max_completion_tokens=5)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "max_tokens"
    assert "4 and 5" in response.json()["error"]["message"]


async def test_a_prompt_beyond_the_context_names_messages(service: Service) -> None:
    response = await service.chat(messages=[{"role": "user", "content": "x" * 600}])
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert response.json()["error"]["param"] == "messages"
    assert "512" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"logprobs": False},
        {"best_of": 1},
        {"modalities": ["text"]},
        {"stop": None, "n": None, "temperature": None, "seed": None, "logit_bias": None},
        {"user": "me", "metadata": {"a": "b"}, "store": True, "service_tier": "auto"},
        {"something": {"new": [1, 2]}},
        {"top_p": 0},
        {"top_k": -1, "min_p": 0.1, "presence_penalty": 1, "frequency_penalty": -1},
    ],
)
async def test_values_that_ask_for_nothing_special_are_taken(
    service: Service, fields: dict[str, object]
) -> None:
    response = await service.chat(max_tokens=1, **fields)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("functions", [{"name": "f"}]),
        ("modalities", ["text", "audio"]),
        ("chat_template", "{{ messages }}"),
    ],
)
async def test_what_the_server_lacks_is_refused_by_name(
    service: Service, param: str, value: object
) -> None:
    response = await service.chat(**{param: value})
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert error["message"].startswith(f"{param} is not supported")


def test_the_models_own_defaults_apply_where_the_client_is_silent() -> None:
    silent = ChatCompletionRequest.model_validate_json(
        '{"messages":[{"role":"user","content":""}]}'
    )
    defaults = GenerationDefaults(temperature=0.6, top_p=0.9)
    params = sampling_params(silent, None, defaults)
    assert (params.temperature, params.top_p, params.top_k) == (0.6, 0.9, 0)


def test_a_client_overrides_the_models_defaults() -> None:
    body = '{"messages":[{"role":"user","content":""}],"temperature":0,"top_p":1}'
    request = ChatCompletionRequest.model_validate_json(body)
    params = sampling_params(request, None, GenerationDefaults(temperature=0.6, top_p=0.9))
    assert (params.temperature, params.top_p) == (0, 1)


def test_openais_defaults_apply_where_nobody_says_anything() -> None:
    silent = ChatCompletionRequest.model_validate_json(
        '{"messages":[{"role":"user","content":""}]}'
    )
    params = sampling_params(silent, None, GenerationDefaults())
    assert (params.temperature, params.top_p, params.max_tokens) == (1, 1, None)
