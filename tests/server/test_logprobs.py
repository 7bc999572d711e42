"""Log-probabilities: chat's form, the older one, the prompts'. Over the embedded model."""

from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import Service, serving
from tests.server.test_streaming import events_of

PROMPT = "Once upon a time"


async def scored(service: Service, **fields: Any) -> dict[str, Any]:
    """The first choice of a completion."""
    response = await service.complete(**{"prompt": PROMPT, "max_tokens": 4, **fields})
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


# --- chat ---


async def test_chat_tells_each_token_with_its_bytes_and_its_rivals(embedded: Service) -> None:
    answer = (await embedded.chat(logprobs=True, top_logprobs=3, max_tokens=5)).json()
    choice = answer["choices"][0]
    content = choice["logprobs"]["content"]

    assert choice["logprobs"]["refusal"] is None
    assert len(content) == 5
    text = b"".join(bytes(entry["bytes"]) for entry in content).decode()
    assert text.lstrip() == choice["message"]["content"]
    for entry in content:
        assert entry["token"] == bytes(entry["bytes"]).decode()
        tops = entry["top_logprobs"]
        assert [top["logprob"] for top in tops] == sorted(
            (t["logprob"] for t in tops), reverse=True
        )
        assert len(tops) == 3
        best = {"token": entry["token"], "logprob": entry["logprob"], "bytes": entry["bytes"]}
        assert tops[0] == best  # at temperature 0 the likeliest is taken


async def test_a_stream_tells_the_same_as_the_whole(embedded: Service) -> None:
    fields = {"logprobs": True, "top_logprobs": 2, "max_tokens": 12, "temperature": 1, "seed": 4}
    whole = (await embedded.chat(**fields)).json()["choices"][0]
    events = events_of(await embedded.chat(stream=True, **fields))
    pieces = [event["choices"][0]["logprobs"] for event in events]

    entries = [entry for piece in pieces if piece for entry in piece["content"]]
    assert entries == whole["logprobs"]["content"]
    assert pieces[0] is None  # the role has none


async def test_without_rivals_only_the_token_itself_is_told(embedded: Service) -> None:
    for fields in ({}, {"top_logprobs": 0}):
        answer = (await embedded.chat(logprobs=True, max_tokens=2, **fields)).json()
        entries = answer["choices"][0]["logprobs"]["content"]
        assert [entry["top_logprobs"] for entry in entries] == [[], []]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"top_logprobs": 2, "logprobs": False}, "top_logprobs"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": -1, "logprobs": True}, "top_logprobs"),
        ({"logprobs": 2}, "logprobs"),
        ({"prompt_logprobs": 21}, "prompt_logprobs"),
        ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs"),
    ],
)
async def test_wrong_counts_are_refused(
    service: Service, fields: dict[str, Any], param: str
) -> None:
    response = await service.chat(**fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_what_is_impossible_is_floored(embedded: Service) -> None:
    """JSON has no infinity, and clients know -9999."""
    response = await embedded.chat(logprobs=True, max_tokens=2, temperature=1)
    assert "Infinity" not in response.text
    assert "NaN" not in response.text


# --- completions ---


async def test_the_older_form_has_the_likeliest_by_exact_equality(embedded: Service) -> None:
    choice = await scored(embedded, logprobs=2, max_tokens=6)
    logprobs = choice["logprobs"]

    assert "".join(logprobs["tokens"]) == choice["text"]
    assert [len(top) for top in logprobs["top_logprobs"]] == [2] * 6
    for token, logprob, top in zip(
        logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True
    ):
        assert logprob == max(top.values()) == top[token]


async def test_zero_rivals_leave_the_token_itself(embedded: Service) -> None:
    logprobs = (await scored(embedded, logprobs=0))["logprobs"]
    assert [list(top) for top in logprobs["top_logprobs"]] == [[t] for t in logprobs["tokens"]]


async def test_a_drawn_token_is_told_beside_the_likeliest(embedded: Service) -> None:
    choice = await scored(embedded, logprobs=1, temperature=2, seed=1, max_tokens=20)
    logprobs = choice["logprobs"]
    is_greedy = [
        logprob == max(top.values())
        for logprob, top in zip(logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
    ]
    assert {len(top) for top in logprobs["top_logprobs"]} == {1, 2}
    assert [len(top) == 1 for top in logprobs["top_logprobs"]] == is_greedy


async def test_offsets_are_places_in_the_text_of_the_choice(embedded: Service) -> None:
    for fields in ({}, {"echo": True}, {"echo": True, "max_tokens": 0}):
        choice = await scored(embedded, logprobs=1, **fields)
        logprobs = choice["logprobs"]
        for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
            if not token.startswith("<|"):  # special tokens are no text
                assert choice["text"][offset:].startswith(token)
        assert logprobs["text_offset"][0] == 0


async def test_tokens_that_share_a_character_share_its_offset(toy_engine: AsyncEngine) -> None:
    """Tokens of the toy engine are bytes: the two of é make one character."""
    async with serving(toy_engine) as service:
        response = await service.complete(prompt="é!", echo=True, logprobs=0, max_tokens=1)
    choice = response.json()["choices"][0]
    assert choice["logprobs"]["text_offset"] == [0, 0, 0, 1, 2]  # the BOS token, é, !, a letter
    assert choice["text"][:2] == "é!"


async def test_streamed_offsets_go_on_where_the_last_piece_ended(embedded: Service) -> None:
    fields = {"prompt": PROMPT, "logprobs": 1, "echo": True, "max_tokens": 8}
    whole = (await embedded.complete(**fields)).json()["choices"][0]
    events = events_of(await embedded.complete(stream=True, **fields))
    pieces = [event["choices"][0] for event in events]

    assert "".join(piece["text"] for piece in pieces) == whole["text"]
    for name, values in whole["logprobs"].items():
        assert [value for piece in pieces for value in piece["logprobs"][name]] == values


# --- prompts ---


async def test_an_echoed_prompt_is_scored_but_for_its_first_token(
    embedded: Service, embedded_engine: AsyncEngine
) -> None:
    tokens = embedded_engine.tokenizer.encode(PROMPT)
    choice = await scored(embedded, prompt=tokens, echo=True, logprobs=1, max_tokens=1)
    logprobs = choice["logprobs"]

    assert choice["text"].startswith(PROMPT)
    assert {len(values) for values in logprobs.values()} == {len(tokens) + 1}
    assert (logprobs["token_logprobs"][0], logprobs["top_logprobs"][0]) == (None, None)
    assert all(logprobs["top_logprobs"][1:])
    assert all(logprob < 0 for logprob in logprobs["token_logprobs"][1:])


async def test_a_prompt_can_be_scored_with_nothing_generated(embedded: Service) -> None:
    with_answer = await scored(embedded, echo=True, logprobs=1, max_tokens=1)
    alone = await scored(embedded, echo=True, logprobs=1, max_tokens=0)

    assert alone["text"] == PROMPT
    assert alone["finish_reason"] == "length"
    for name, values in alone["logprobs"].items():
        assert values == with_answer["logprobs"][name][:-1]


async def test_no_tokens_at_all_make_sense_only_for_the_prompts_sake(service: Service) -> None:
    response = await service.complete(max_tokens=0)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "max_tokens"


async def test_each_prompt_of_a_batch_gets_the_scores_it_gets_alone(embedded: Service) -> None:
    prompts = ["Once upon a time", "Tom", "The dog ran to the big red house and"]
    fields = {"echo": True, "logprobs": 2, "max_tokens": 1}
    alone = [
        (await embedded.complete(prompt=prompt, **fields)).json()["choices"][0]["logprobs"]
        for prompt in prompts
    ]
    together = (await embedded.complete(prompt=prompts, **fields)).json()["choices"]
    assert [choice["logprobs"] for choice in together] == alone


async def test_prompt_logprobs_are_told_by_token_id(
    embedded: Service, embedded_engine: AsyncEngine
) -> None:
    tokens = embedded_engine.tokenizer.encode(PROMPT)
    choice = await scored(embedded, prompt_logprobs=2, echo=True, logprobs=0)
    first, *others = choice["prompt_logprobs"]

    assert first is None
    assert len(others) == len(tokens) - 1
    for token, scores, echoed in zip(
        tokens[1:], others, choice["logprobs"]["token_logprobs"][1:], strict=False
    ):
        assert len(scores) in {2, 3}
        assert scores[str(token)]["logprob"] == echoed
        assert sorted(s["rank"] for s in scores.values() if s["rank"]) == [1, 2]
    assert {len(top) for top in choice["logprobs"]["top_logprobs"][1:]} == {1}  # as asked for


async def test_chat_tells_its_prompts_scores_and_ids(embedded: Service) -> None:
    answer = (await embedded.chat(prompt_logprobs=1, return_token_ids=True, max_tokens=2)).json()
    assert len(answer["prompt_logprobs"]) == len(answer["prompt_token_ids"])
    assert answer["prompt_logprobs"][0] is None
    assert len(answer["choices"][0]["token_ids"]) == 2


# --- tokens named by their ids ---


async def test_completions_can_name_tokens_by_their_ids(embedded: Service) -> None:
    fields = {"logprobs": 2, "return_token_ids": True, "echo": True}
    by_text = await scored(embedded, **fields)
    by_id = await scored(embedded, return_tokens_as_token_ids=True, **fields)

    ids = by_id["prompt_token_ids"] + by_id["token_ids"]
    assert by_id["logprobs"]["tokens"] == [f"token_id:{token}" for token in ids]
    for name, tops in zip(
        by_id["logprobs"]["tokens"], by_id["logprobs"]["top_logprobs"], strict=True
    ):
        assert tops is None or name in tops
    for told in ("token_logprobs", "text_offset"):
        assert by_id["logprobs"][told] == by_text["logprobs"][told]
    assert by_id["text"] == by_text["text"]


async def test_so_can_chat_whole_and_in_streams(embedded: Service) -> None:
    fields = {"logprobs": True, "top_logprobs": 1, "return_token_ids": True, "max_tokens": 3}
    asked = {"return_tokens_as_token_ids": True, **fields}
    by_text = (await embedded.chat(**fields)).json()["choices"][0]
    by_id = (await embedded.chat(**asked)).json()["choices"][0]
    events = events_of(await embedded.chat(stream=True, **asked))
    pieces = [event["choices"][0]["logprobs"] for event in events]

    names = [f"token_id:{token}" for token in by_id["token_ids"]]
    entries = by_id["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == names
    assert [entry["top_logprobs"][0]["token"] for entry in entries] == names  # at temperature 0
    assert [entry["bytes"] for entry in entries] == [
        entry["bytes"] for entry in by_text["logprobs"]["content"]
    ]
    assert [entry for piece in pieces if piece for entry in piece["content"]] == entries


# --- the best of several ---


async def test_the_best_are_the_likeliest_by_the_mean_of_their_tokens(embedded: Service) -> None:
    fields = {"temperature": 1, "seed": 8, "max_tokens": 6, "logprobs": 0, "prompt": PROMPT}
    every = (await embedded.complete(n=5, **fields)).json()["choices"]
    best = (await embedded.complete(n=2, best_of=5, **fields)).json()

    def mean(choice: dict[str, Any]) -> float:
        logprobs = choice["logprobs"]["token_logprobs"]
        return sum(logprobs) / len(logprobs)

    wanted = sorted(every, key=mean, reverse=True)[:2]
    assert [choice["text"] for choice in best["choices"]] == [choice["text"] for choice in wanted]
    assert [choice["index"] for choice in best["choices"]] == [0, 1]
    assert best["usage"]["completion_tokens"] == sum(len(c["logprobs"]["tokens"]) for c in every)


async def test_the_best_of_several_prompts_are_theirs(embedded: Service) -> None:
    fields = {"temperature": 1, "seed": 8, "max_tokens": 3, "best_of": 3}
    alone = [
        (await embedded.complete(prompt=prompt, **fields)).json()["choices"][0]["text"]
        for prompt in ("Tom", "The cat")
    ]
    together = (await embedded.complete(prompt=["Tom", "The cat"], **fields)).json()["choices"]
    assert [choice["text"] for choice in together] == alone
    assert [choice["logprobs"] for choice in together] == [None, None]


@pytest.mark.parametrize("fields", [{"n": 3, "best_of": 2}, {"best_of": 2, "stream": True}])
async def test_a_best_that_cannot_be_is_refused(service: Service, fields: dict[str, Any]) -> None:
    response = await service.complete(**fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "best_of"
