"""Two models in one server: each request goes to the one it names, in every API's words."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest

from tercet_engine import AsyncEngine, EngineDead, EngineDraining
from tests.server.conftest import Service, listening, serving, until

TWO = {"model": ["first=a", "second=b"], "alias": ["gpt-4o-mini=second"]}
HELLO = [{"role": "user", "content": "hello"}]

Engines = tuple[AsyncEngine, AsyncEngine]


@pytest.fixture
def engines(toy_engines: Callable[..., AsyncEngine]) -> Engines:
    """One writes only the letter x, the other only y in a shorter context; neither ends a turn."""
    first = toy_engines(letters="x", end_every=0)
    second = toy_engines(letters="y", end_every=0, max_context=256)
    second.info = dataclasses.replace(second.info, model_id="toy2")
    return first, second


@pytest.fixture
async def service(engines: Engines) -> AsyncIterator[Service]:
    async with serving(*engines, **TWO) as service:
        yield service


def num_generated(engines: Engines) -> list[int]:
    return [engine.stats().num_generated_tokens for engine in engines]


async def post(service: Service, path: str, **body: Any) -> Any:
    response = await service.client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    ("name", "letter"),
    [("first", "x"), ("second", "y"), ("gpt-4o-mini", "y"), ("toy2", "y"), (None, "x")],
)
async def test_a_chat_is_answered_by_the_model_it_names(
    service: Service, name: str | None, letter: str
) -> None:
    answer = (await service.chat(model=name, max_tokens=4)).json()

    assert set(answer["choices"][0]["message"]["content"]) == {letter}
    assert answer["model"] == (name or "first")
    assert service.log_lines()[-1]["model"] == (name or "first")


GENERATING: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HELLO, "max_tokens": 2},
    "/v1/completions": {"prompt": "once", "max_tokens": 2},
    "/v1/responses": {"input": "hello", "max_output_tokens": 2},
    "/v1/messages": {"messages": HELLO, "max_tokens": 2},
    "/api/chat": {"messages": HELLO, "stream": False, "options": {"num_predict": 2}},
    "/api/generate": {"prompt": "once", "stream": False, "options": {"num_predict": 2}},
}
READING: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"input": "hello"},
    "/v1/decisions": {
        "input": "hello",
        "questions": [{"type": "predicate", "instructions": "Is it warm?"}],
    },
    "/api/embed": {"input": "hello"},
    "/api/embeddings": {"prompt": "hello"},
}
COUNTING: dict[str, dict[str, Any]] = {
    "/tokenize": {"prompt": "hello"},
    "/v1/detokenize": {"tokens": [72]},
    "/apply-template": {"messages": HELLO},
    "/v1/messages/count_tokens": {"messages": HELLO},
    "/v1/chat/completions/input_tokens": {"messages": HELLO},
    "/v1/responses/input_tokens": {"input": "hello"},
    "/api/show": {},
}


@pytest.mark.parametrize("path", [*GENERATING, *READING])
async def test_every_endpoint_computes_with_the_model_named(
    service: Service, engines: Engines, path: str
) -> None:
    await post(service, path, model="second", **{**GENERATING, **READING}[path])
    computed = [engine.stats().num_prompt_tokens for engine in engines]

    assert computed[0] == 0
    assert computed[1] > 0


@pytest.mark.parametrize("path", [*GENERATING, *READING, *COUNTING])
async def test_every_endpoint_refuses_a_model_that_is_not_served(
    service: Service, path: str
) -> None:
    body = {**GENERATING, **READING, **COUNTING}[path]
    response = await service.client.post(path, json={"model": "third", **body})
    error = response.json()["error"]

    assert response.status_code == 404
    words = error if isinstance(error, str) else error["message"]
    assert words == (
        "the model 'third' does not exist; this server serves 'first', 'second', 'gpt-4o-mini'"
    )


@pytest.mark.parametrize("path", COUNTING)
async def test_what_is_only_counted_takes_each_of_the_names(service: Service, path: str) -> None:
    for name in ("first", "second", "gpt-4o-mini", "toy2"):
        await post(service, path, model=name, **COUNTING[path])


async def test_the_tokenizer_told_of_is_that_of_the_model_named(service: Service) -> None:
    plain = await service.client.get("/tokenizer_info")
    named = await service.client.get("/v1/tokenizer_info", params={"model": "gpt-4o-mini"})
    unknown = await service.client.get("/tokenizer_info", params={"model": "third"})

    assert plain.json()["model_max_length"] == 512
    assert named.json()["model_max_length"] == 256
    assert unknown.status_code == 404


async def test_every_name_is_listed_but_the_own_ids_of_models_that_were_given_one(
    service: Service,
) -> None:
    cards = (await service.client.get("/v1/models")).json()["data"]
    by_id = await service.client.get("/v1/models/toy2")

    assert [(card["id"], card["max_model_len"]) for card in cards] == [
        ("first", 512),
        ("second", 256),
        ("gpt-4o-mini", 256),
    ]
    assert (by_id.json()["id"], by_id.json()["max_model_len"]) == ("toy2", 256)
    assert (await service.client.get("/v1/models/third")).status_code == 404


async def test_ollama_lists_every_name_and_takes_it_with_its_tag(
    service: Service, engines: Engines
) -> None:
    tags = (await service.client.get("/api/tags")).json()["models"]
    running = (await service.client.get("/api/ps")).json()["models"]
    shown = await post(service, "/api/show", model="second:latest")
    said = await post(service, "/api/chat", model="second:latest", **GENERATING["/api/chat"])

    names = ["first:latest", "second:latest", "gpt-4o-mini:latest"]
    assert [model["name"] for model in tags] == names
    assert [model["context_length"] for model in running] == [512, 256, 256]
    assert shown["model_info"]["bitnet.context_length"] == 256
    assert said["model"] == "second:latest"
    assert num_generated(engines)[0] == 0


async def test_a_conversation_may_go_on_with_another_model(
    service: Service, engines: Engines
) -> None:
    begun = (await service.respond(model="second", max_output_tokens=3)).json()
    goes_on = (
        await service.respond(previous_response_id=begun["id"], model="first", max_output_tokens=3)
    ).json()
    kept = (await service.client.get(f"/v1/responses/{begun['id']}")).json()

    assert (begun["model"], kept["model"], goes_on["model"]) == ("second", "second", "first")
    assert set(goes_on["output"][0]["content"][0]["text"]) == {"x"}
    assert all(num_generated(engines))


async def test_what_goes_on_in_the_background_is_of_the_model_named(
    service: Service, engines: Engines
) -> None:
    begun = (await service.respond(model="second", background=True, max_output_tokens=3)).json()
    await until(lambda: engines[1].stats().num_finished == 1)
    kept = (await service.client.get(f"/v1/responses/{begun['id']}")).json()

    assert kept["model"] == "second"
    assert num_generated(engines)[0] == 0


async def test_a_model_that_is_busy_leaves_the_other_its_pace(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(20)

    busy, free = toy_engines(before_step=wait), toy_engines()
    async with serving(busy, free, **TWO) as service:
        waiting = asyncio.create_task(service.chat(model="first", max_tokens=1))
        await until(lambda: busy.stats().num_running + busy.stats().num_waiting > 0)
        answered = await service.chat(model="second", max_tokens=1)
        was_waiting = not waiting.done()
        held.set()

        assert answered.status_code == 200
        assert was_waiting
        assert (await waiting).status_code == 200


async def test_metrics_have_a_label_for_the_model(service: Service) -> None:
    await service.chat(model="gpt-4o-mini", max_tokens=3)
    text = (await service.client.get("/metrics")).text

    assert 'tercet_generated_tokens_total{model="first"} 0.0' in text
    assert 'tercet_generated_tokens_total{model="second"} 3.0' in text
    assert 'tercet_kv_cache_blocks{model="first"} 256.0' in text
    assert text.count("# HELP tercet_generated_tokens_total ") == 1
    (info,) = [line for line in text.splitlines() if 'id="toy2"' in line]
    assert info.startswith("tercet_engine_info{")
    assert 'model="second"' in info


async def test_one_engine_that_drains_makes_the_server_unready(
    service: Service, engines: Engines
) -> None:
    await engines[1].drain(0)
    health = await service.client.get("/health")
    ready = await service.client.get("/ready")

    assert (health.status_code, ready.status_code) == (200, 503)
    assert (await service.chat(model="first", max_tokens=1)).status_code == 200
    assert (await service.chat(model="second")).json()["error"]["code"] == "shutting_down"


async def test_one_engine_that_died_makes_the_server_unsound(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    def die() -> None:
        raise MemoryError

    async with serving(toy_engines(), toy_engines(before_step=die), **TWO) as service:
        assert (await service.chat(model="second")).status_code == 503
        health = await service.client.get("/health")
        ready = await service.client.get("/ready")

        assert (health.status_code, ready.status_code) == (503, 503)
        assert (await service.chat(model="first", max_tokens=1)).status_code == 200


async def test_the_end_of_the_server_ends_all_engines(engines: Engines) -> None:
    async with listening(*engines, **TWO):
        pass
    for engine in engines:
        with pytest.raises((EngineDraining, EngineDead)):
            engine.check_accepting()
        with pytest.raises(EngineDead):
            await engine.check_invariants()


async def test_openais_client_lists_and_uses_both(engines: Engines) -> None:
    async with (
        listening(*engines, **TWO) as live,
        openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none") as client,
    ):
        listed = [model.id async for model in client.models.list()]
        texts = {}
        for name in listed:
            answer = await client.chat.completions.create(
                model=name, messages=[{"role": "user", "content": "hello"}], max_tokens=4
            )
            texts[name] = set(answer.choices[0].message.content or "")
        with pytest.raises(openai.NotFoundError) as refused:
            await client.chat.completions.create(
                model="third", messages=[{"role": "user", "content": "hello"}]
            )

    assert texts == {"first": {"x"}, "second": {"y"}, "gpt-4o-mini": {"y"}}
    assert refused.value.code == "model_not_found"
