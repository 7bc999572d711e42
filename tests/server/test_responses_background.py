"""Responses that go on without their client: found, followed, cancelled, bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import Service, serving, until
from tests.server.test_disconnect import Gate
from tests.server.test_responses_stream import events_of


async def settled(service: Service, name: str) -> dict[str, Any]:
    """A response once it is over."""
    while True:
        found = (await service.client.get(f"/v1/responses/{name}")).json()
        if found["status"] not in {"queued", "in_progress"}:
            return found
        await asyncio.sleep(0.005)


class Stage:
    """A server whose engine stops after two steps until the gate is opened."""

    def __init__(self, service: Service, gate: Gate, engine: AsyncEngine) -> None:
        self.service, self.gate, self.engine = service, gate, engine

    async def begin(self, **fields: Any) -> dict[str, Any]:
        fields = {"background": True, "max_output_tokens": 20, **fields}
        response = await self.service.respond(**fields)
        assert response.status_code == 200, response.text
        return response.json()

    async def find(self, name: str) -> dict[str, Any]:
        return (await self.service.client.get(f"/v1/responses/{name}")).json()

    async def finish(self, name: str) -> dict[str, Any]:
        self.gate.open()
        return await settled(self.service, name)


@pytest.fixture
async def stage(toy_engines: Callable[..., AsyncEngine]) -> AsyncIterator[Stage]:
    gate = Gate(steps=2)
    engine = toy_engines(end_every=0, before_step=gate)
    async with serving(engine, background_responses=2) as service:
        yield Stage(service, gate, engine)
        gate.open()


async def test_a_background_response_is_answered_at_once_and_found_when_it_is_done(
    stage: Stage,
) -> None:
    begun = await stage.begin()
    assert begun["status"] in {"queued", "in_progress"}
    assert (await stage.find(begun["id"]))["status"] == "in_progress"
    done = await stage.finish(begun["id"])
    assert (done["status"], done["background"]) == ("incomplete", True)
    assert len(done["output"][0]["content"][0]["text"]) == 20


async def test_it_is_the_answer_that_its_client_would_have_waited_for(stage: Stage) -> None:
    done = await stage.finish((await stage.begin())["id"])
    waited = (await stage.service.respond(max_output_tokens=20)).json()
    assert done["output"][0]["content"] == waited["output"][0]["content"]


async def test_a_cancelled_response_is_no_longer_computed(stage: Stage) -> None:
    begun = await stage.begin()
    cancelled = await stage.service.client.post(f"/v1/responses/{begun['id']}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    stage.gate.open()
    await until(lambda: stage.engine.stats().num_aborted == 1)
    assert (await stage.find(begun["id"]))["status"] == "cancelled"


async def test_a_second_cancel_does_not_cut_the_first_short(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await stage.begin()
    await until(lambda: stage.engine.stats().num_running == 1)
    store = stage.service.app.state.response_store
    put, is_storing, may_store = store.put, asyncio.Event(), asyncio.Event()

    async def slow_put(*args: Any) -> bool:
        is_storing.set()
        await may_store.wait()
        return await put(*args)

    monkeypatch.setattr(store, "put", slow_put)
    cancel = partial(stage.service.client.post, f"/v1/responses/{begun['id']}/cancel")
    first = asyncio.create_task(cancel())
    await is_storing.wait()
    second = asyncio.create_task(cancel())
    await asyncio.sleep(0.05)
    may_store.set()
    assert [(await task).json()["status"] for task in (first, second)] == ["cancelled"] * 2
    assert (await stage.find(begun["id"]))["status"] == "cancelled"


async def test_a_model_that_is_not_served_is_not_logged(stage: Stage) -> None:
    body = {"input": "a", "background": True, "model": "a secret"}
    assert (await stage.service.client.post("/v1/responses", json=body)).status_code == 404
    assert "a secret" not in stage.service.log.getvalue()


async def test_cancelling_what_is_over_changes_nothing(stage: Stage) -> None:
    done = await stage.finish((await stage.begin())["id"])
    cancelled = await stage.service.client.post(f"/v1/responses/{done['id']}/cancel")
    assert cancelled.json() == done


async def test_what_its_client_waits_for_cannot_be_cancelled(stage: Stage) -> None:
    stage.gate.open()
    name = (await stage.service.respond(max_output_tokens=1)).json()["id"]
    refused = await stage.service.client.post(f"/v1/responses/{name}/cancel")
    assert refused.status_code == 400
    assert "background=true" in refused.json()["error"]["message"]


async def test_deleting_a_response_ends_it(stage: Stage) -> None:
    begun = await stage.begin()
    deleted = await stage.service.client.delete(f"/v1/responses/{begun['id']}")
    assert deleted.status_code == 200
    stage.gate.open()
    await until(lambda: stage.engine.stats().num_aborted == 1)
    assert "error" in await stage.find(begun["id"])


async def test_one_too_many_is_told_to_come_back(stage: Stage) -> None:
    begun = [await stage.begin(), await stage.begin()]
    refused = await stage.service.respond(background=True)
    assert refused.status_code == 429
    assert "at most 2 background responses" in refused.json()["error"]["message"]
    assert refused.headers["retry-after"] == "1"
    await stage.finish(begun[0]["id"])
    await stage.finish(begun[1]["id"])
    assert (await stage.begin())["background"]


async def test_what_is_in_progress_cannot_be_continued_yet(stage: Stage) -> None:
    begun = await stage.begin()
    refused = await stage.service.respond(previous_response_id=begun["id"])
    assert "still in progress" in refused.json()["error"]["message"]


async def test_a_stream_can_be_followed_from_any_event_on(stage: Stage) -> None:
    stage.gate.open()
    events = events_of(await stage.service.respond(background=True, stream=True))
    assert [event["type"] for event in events[:3]] == [
        *("response.created", "response.queued", "response.in_progress")
    ]
    assert events[-1]["response"]["status"] == "incomplete"


async def test_who_comes_back_gets_the_events_behind_the_last_one_seen(stage: Stage) -> None:
    begun = await stage.begin()
    url = f"/v1/responses/{begun['id']}"
    stage.gate.open()
    query = {"stream": "true", "starting_after": "1"}
    response = await stage.service.client.get(url, params=query)
    assert response.status_code == 200
    assert '"sequence_number":2,' in response.text.split("\n\n")[0]
    assert "event: response.incomplete" in response.text


async def test_what_is_over_is_not_streamed_again(stage: Stage) -> None:
    done = await stage.finish((await stage.begin())["id"])
    refused = await stage.service.client.get(f"/v1/responses/{done['id']}?stream=true")
    assert refused.status_code == 400
    assert "retrieve it without stream" in refused.json()["error"]["message"]


async def test_a_failure_is_the_status_of_the_response_and_a_line_in_the_log(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=0)

    def fail() -> None:
        gate()
        message = "the machine is on fire"
        raise RuntimeError(message)

    async with serving(toy_engines(before_step=fail)) as service:
        begun = (await service.respond(background=True)).json()
        gate.open()
        found = await settled(service, begun["id"])
        lines = [line for line in service.log_lines() if line["event"] == "background_response"]
    assert (found["status"], found["error"]["code"]) == ("failed", "server_error")
    assert [line["error_code"] for line in lines] == ["engine_dead"]


async def test_none_may_run_where_none_are_offered(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, background_responses=0) as service:
        refused = await service.respond(background=True)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "background"


async def test_another_key_neither_finds_nor_cancels_it(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=2)
    async with serving(toy_engines(before_step=gate), api_key=["mine", "yours"]) as service:
        body = {"input": "a", "background": True}
        mine, yours = {"x-api-key": "mine"}, {"x-api-key": "yours"}
        begun = await service.client.post("/v1/responses", json=body, headers=mine)
        url = f"/v1/responses/{begun.json()['id']}"
        statuses = [
            (await service.client.get(url, headers=yours)).status_code,
            (await service.client.post(f"{url}/cancel", headers=yours)).status_code,
            (await service.client.delete(url, headers=yours)).status_code,
            (await service.client.get(url, headers=mine)).status_code,
        ]
        gate.open()
    assert statuses == [404, 404, 404, 200]


async def test_a_response_that_a_server_left_behind_has_failed(
    toy_engines: Callable[..., AsyncEngine], tmp_path: Path
) -> None:
    path, gate = tmp_path / "responses.db", Gate(steps=2)
    async with serving(toy_engines(before_step=gate), store_path=path) as crashing:
        begun = (await crashing.respond(background=True)).json()
        async with serving(toy_engines(), store_path=path) as service:
            found = (await service.client.get(f"/v1/responses/{begun['id']}")).json()
        gate.open()
    assert found["status"] == "failed"
    assert found["error"]["message"] == "the server was stopped meanwhile"
