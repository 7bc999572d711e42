"""POST /v1/completions, answered whole."""

import pytest

from tests.server.conftest import Service


def texts_of(answer: dict) -> list[str]:
    return [choice["text"] for choice in answer["choices"]]


async def test_an_answer_has_the_shape_of_openais(service: Service) -> None:
    answer = (await service.complete(max_tokens=3)).json()

    assert answer.pop("id").startswith("cmpl-")
    assert isinstance(answer.pop("created"), int)
    assert len(answer["choices"][0].pop("text")) == 3
    assert answer == {
        "object": "text_completion",
        "model": "toy",
        "system_fingerprint": "tc-0123456789abcdef",
        "choices": [{"index": 0, "logprobs": None, "finish_reason": "length"}],
        "usage": {
            "prompt_tokens": 10,  # "once upon" and the BOS token
            "completion_tokens": 3,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


async def test_sixteen_tokens_are_the_default(service: Service) -> None:
    answer = (await service.complete(ignore_eos=True)).json()
    assert answer["usage"]["completion_tokens"] == 16


async def test_the_default_shrinks_to_what_the_context_has_room_for(service: Service) -> None:
    full, short = [1] * 505, [1]  # of 512
    answer = (await service.complete(prompt=[full, short], ignore_eos=True)).json()
    assert answer["usage"]["completion_tokens"] == 7 + 16


async def test_what_the_client_asked_for_does_not_shrink(service: Service) -> None:
    response = await service.complete(prompt=[1] * 505, max_tokens=8)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "max_tokens"


@pytest.mark.parametrize("num_tokens", [512, 600])
async def test_a_prompt_without_room_for_an_answer_is_itself_at_fault(
    service: Service, num_tokens: int
) -> None:
    response = await service.complete(prompt=[1] * num_tokens)
    error = response.json()["error"]
    assert response.status_code == 400
    assert (error["param"], error["code"]) == ("prompt", "context_length_exceeded")
    assert "max_tokens" not in error["message"]


async def test_token_ids_are_taken_as_they_are(service: Service) -> None:
    answer = (await service.complete(prompt=[1, 2, 3], max_tokens=1)).json()
    assert answer["usage"]["prompt_tokens"] == 3


async def test_text_and_its_tokens_get_the_same_answer(service: Service, toy_engine) -> None:
    tokens = toy_engine.tokenizer.encode("once upon")
    of_text = (await service.complete()).json()
    of_tokens = (await service.complete(prompt=tokens)).json()
    assert texts_of(of_text) == texts_of(of_tokens)


async def test_prompts_get_the_same_answers_together_as_alone(service: Service) -> None:
    fields = {"temperature": 1, "seed": 5, "n": 2}
    first = (await service.complete(prompt="one", **fields)).json()
    second = (await service.complete(prompt="two", **fields)).json()
    both = (await service.complete(prompt=["one", "two"], **fields)).json()

    assert texts_of(both) == texts_of(first) + texts_of(second)
    assert [choice["index"] for choice in both["choices"]] == [0, 1, 2, 3]
    assert both["usage"]["prompt_tokens"] == 8


async def test_lists_of_token_ids_are_several_prompts(service: Service) -> None:
    answer = (await service.complete(prompt=[[1, 2], [3]], max_tokens=1)).json()
    assert len(answer["choices"]) == 2
    assert answer["usage"]["prompt_tokens"] == 3


async def test_an_empty_text_is_a_prompt_of_the_bos_token(service: Service) -> None:
    answer = (await service.complete(prompt="")).json()
    assert answer["usage"]["prompt_tokens"] == 1


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ([], "prompt"),
        (None, "prompt"),
        (5, "prompt"),
        ([[]], "prompt"),
        ([1, "a"], "prompt[1]"),
        (["a", 1], "prompt[1]"),
        ([[1], "a"], "prompt[1]"),
        ([-1], "prompt[0]"),
        ([1.5], "prompt[0]"),
        ([259], "prompt"),
        ([True], "prompt[0]"),
        ([2**40], "prompt[0]"),
    ],
)
async def test_what_is_no_prompt_is_refused(service: Service, prompt: object, param: str) -> None:
    response = await service.complete(prompt=prompt)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(("param", "value"), [("suffix", "x"), ("use_beam_search", True)])
async def test_what_the_server_lacks_is_refused_by_name(
    service: Service, param: str, value: object
) -> None:
    response = await service.complete(**{param: value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_choices_times_prompts_have_a_bound(service: Service) -> None:
    response = await service.complete(prompt=["a"] * 65, n=2)
    assert response.status_code == 400
    assert "at most 128; got 130" in response.json()["error"]["message"]


async def test_more_than_the_engine_can_hold_is_refused_for_good(service: Service) -> None:
    response = await service.complete(prompt=["a"] * 25)  # 8 run and 16 wait
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "too_many_choices"


async def test_a_stop_string_can_be_part_of_the_text(service: Service) -> None:
    plain = (await service.complete(stop=["e"], max_tokens=40)).json()["choices"][0]
    with_it = (
        await service.complete(stop=["e"], max_tokens=40, include_stop_str_in_output=True)
    ).json()["choices"][0]
    assert with_it["text"] == plain["text"] + "e"
    assert with_it["finish_reason"] == plain["finish_reason"] == "stop"


async def test_so_can_a_token_that_stops(service: Service, toy_engine) -> None:
    (letter,) = toy_engine.tokenizer.encode("e", add_special_tokens=False)
    fields = {"stop_token_ids": [letter], "max_tokens": 40}
    plain = (await service.complete(**fields)).json()["choices"][0]["text"]
    with_it = (await service.complete(**fields, include_stop_str_in_output=True)).json()
    assert texts_of(with_it) == [plain + "e"]


async def test_token_ids_are_told_to_who_asks(service: Service, toy_engine) -> None:
    answer = (await service.complete(return_token_ids=True, max_tokens=4)).json()
    choice = answer["choices"][0]
    assert toy_engine.tokenizer.decode(choice["token_ids"]) == choice["text"]
    assert choice["prompt_token_ids"] == toy_engine.tokenizer.encode("once upon")


async def test_an_echo_begins_with_the_prompt(service: Service) -> None:
    alone = texts_of((await service.complete(max_tokens=4)).json())
    echoed = texts_of((await service.complete(max_tokens=4, echo=True)).json())
    assert echoed == ["once upon" + alone[0]]


async def test_a_prompt_of_another_salt_is_not_found_in_the_cache(service: Service) -> None:
    prompt = "x" * 100

    async def num_cached(**fields: str) -> int:
        usage = (await service.complete(prompt=prompt, max_tokens=1, **fields)).json()["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"]

    assert [await num_cached(cache_salt="a"), await num_cached(), await num_cached()] == [0, 0, 96]
    assert [await num_cached(cache_salt="b"), await num_cached(cache_salt="a")] == [0, 96]
