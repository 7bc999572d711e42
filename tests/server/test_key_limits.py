"""Keys with names and limits, from the file to the answer's headers."""

import asyncio
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tercet_engine import AsyncEngine, EngineConfig
from tercet_server.settings import InvalidSettings
from tests.server.conftest import Service, listening, serving, until

CHAT = {"messages": [{"role": "user", "content": "hello"}], "temperature": 0, "max_tokens": 3}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    write(path, web="requests_per_minute = 3\ntokens_per_minute = 1000")
    return path


def put(path: Path, text: str) -> None:
    path.write_text(text)


def write(path: Path, **keys: str) -> None:
    """Keys whose names are their values."""
    parts = [f'[[key]]\nname = "{name}"\nkey = "{name}"\n{rest}\n' for name, rest in keys.items()]
    path.write_text("\n".join(parts))


async def chat(service: Service, key: str = "web", **fields: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    body = {**CHAT, **fields}
    return await service.client.post("/v1/chat/completions", json=body, headers=headers)


async def test_an_answer_tells_what_is_left(toy_engine: AsyncEngine, path: Path) -> None:
    async with serving(toy_engine, api_keys_file=path) as service:
        first, second = await chat(service), await chat(service)
        lines = service.log_lines()

    assert first.headers["x-ratelimit-limit-requests"] == "3"
    assert first.headers["x-ratelimit-remaining-requests"] == "2"
    assert re.fullmatch(r"(20|1\d(\.\d+)?)s", first.headers["x-ratelimit-reset-requests"])
    assert first.headers["x-ratelimit-remaining-tokens"] == "1000"
    assert second.headers["x-ratelimit-remaining-tokens"] == "973"  # 24 of the prompt, 3 more
    assert [line["key"] for line in lines] == ["web", "web"]


async def test_too_many_requests_are_refused_until_it_says(
    toy_engine: AsyncEngine, path: Path
) -> None:
    async with serving(toy_engine, api_keys_file=path) as service:
        for _ in range(3):
            assert (await chat(service)).status_code == 200
        refused = await chat(service)

    error = refused.json()["error"]
    assert refused.status_code == 429
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert "the key web may make 3 requests a minute" in error["message"]
    assert 18 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


async def test_tokens_of_an_answer_are_charged(toy_engine: AsyncEngine, path: Path) -> None:
    write(path, web="tokens_per_minute = 20")
    async with serving(toy_engine, api_keys_file=path) as service:
        assert (await chat(service, stream=True)).status_code == 200
        refused = await chat(service)
    assert refused.status_code == 429
    assert "may use 20 tokens a minute" in refused.json()["error"]["message"]


async def test_tokens_of_a_response_in_the_background_are_charged(
    toy_engine: AsyncEngine, path: Path
) -> None:
    write(path, web="tokens_per_minute = 20")
    async with serving(toy_engine, api_keys_file=path) as service:
        headers = {"x-api-key": "web"}
        body = {"input": "hello", "background": True, "max_output_tokens": 3}
        begun = await service.client.post("/v1/responses", json=body, headers=headers)
        assert begun.status_code == 200
        await until(lambda: service.app.state.response_runs.find(begun.json()["id"], "") is None)
        await until(lambda: "background_response" in service.log.getvalue())
        assert (await chat(service)).status_code == 429


async def test_a_key_has_so_many_requests_at_once(
    toy_engines: Callable[..., AsyncEngine], path: Path
) -> None:
    write(path, web="concurrency = 1", other="")
    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))
    async with serving(engine, api_keys_file=path) as service:
        first = asyncio.create_task(chat(service))
        await until(lambda: engine.stats().num_running == 1)
        refused = await chat(service)
        other = asyncio.create_task(chat(service, "other"))
        gate.set()
        answers = [await first, await other, await chat(service)]

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_looking_around_costs_nothing(toy_engine: AsyncEngine, path: Path) -> None:
    async with serving(toy_engine, api_keys_file=path) as service:
        for _ in range(9):
            response = await service.client.get("/v1/models", headers={"x-api-key": "web"})
            assert response.status_code == 200
        assert service.log_lines()[-1]["key"] == "web"


@pytest.mark.parametrize("key", ["", "wrong", "\xff"])
async def test_who_has_no_key_gets_nothing(toy_engine: AsyncEngine, path: Path, key: str) -> None:
    async with serving(toy_engine, api_keys_file=path) as service:
        headers = {"authorization": f"Bearer {key}".encode("latin-1")}
        refused = await service.client.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert refused.status_code == 401
    assert "x-ratelimit-limit-requests" not in refused.headers


async def test_plain_keys_are_good_beside_the_file(toy_engine: AsyncEngine, path: Path) -> None:
    async with serving(toy_engine, api_keys_file=path, api_key=["plain"]) as service:
        answers = [await chat(service, "plain") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert "x-ratelimit-limit-requests" not in answers[0].headers


async def test_a_digest_will_do(toy_engine: AsyncEngine, path: Path) -> None:
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"  # of "test"
    put(path, f'[[key]]\nname = "web"\nsha256 = "{digest}"\n')
    async with serving(toy_engine, api_keys_file=path) as service:
        assert (await chat(service, "test")).status_code == 200
        assert (await chat(service, digest)).status_code == 401


async def test_priority_reaches_as_far_as_the_key(
    toy_engines: Callable[..., AsyncEngine], path: Path
) -> None:
    """Behind one that runs, the most urgent of those that wait is computed first."""
    write(path, boss="priority = -10", web="")
    gate = threading.Event()
    config = EngineConfig(max_batch_tokens=64, max_sequences=1, speculation="off")
    engine = toy_engines(config, before_step=lambda: gate.wait(20))
    order: list[str] = []

    async def ask(service: Service, name: str, key: str, priority: int) -> None:
        await chat(service, key, priority=priority)
        order.append(name)

    async with serving(engine, api_keys_file=path) as service:
        tasks = [asyncio.create_task(ask(service, "running", "web", 0))]
        await until(lambda: engine.stats().num_running == 1)
        for num_waiting, (name, key, priority) in enumerate(
            [("pushy", "web", -1000), ("plain", "web", 0), ("late", "web", 5), ("boss", "boss", -5)]
        ):
            tasks.append(asyncio.create_task(ask(service, name, key, priority)))
            tokens = 24 * (num_waiting + 2)
            await until(lambda tokens=tokens: engine.stats().num_waiting_tokens == tokens)
        gate.set()
        await asyncio.gather(*tasks)

    assert order == ["running", "boss", "pushy", "plain", "late"]


async def test_a_new_key_of_a_name_finds_what_the_old_one_stored(
    toy_engine: AsyncEngine, path: Path
) -> None:
    put(path, '[[key]]\nname = "web"\nkey = ["old", "new"]\n[[key]]\nname="x"\nkey="x"\n')
    async with serving(toy_engine, api_keys_file=path) as service:
        body = {"input": "hello", "max_output_tokens": 3}
        headers = {"authorization": "Bearer old"}
        stored = await service.client.post("/v1/responses", json=body, headers=headers)
        url = f"/v1/responses/{stored.json()['id']}"
        found = [
            (await service.client.get(url, headers={"x-api-key": key})).status_code
            for key in ("new", "x")
        ]
    assert found == [200, 404]


async def test_a_wrong_file_is_refused_at_start(toy_engine: AsyncEngine, path: Path) -> None:
    put(path, "key = 1")
    with pytest.raises(InvalidSettings, match=r"--api-keys-file .* must be a list"):
        async with serving(toy_engine, api_keys_file=path):
            pass


async def test_the_file_is_read_again_at_a_signal(toy_engine: AsyncEngine, path: Path) -> None:
    async with (
        listening(toy_engine, api_keys_file=path) as live,
        httpx.AsyncClient(base_url=live.url, trust_env=False) as client,
    ):
        ring = live.server._app.state.keys

        async def status(key: str) -> int:
            return (await client.get("/v1/models", headers={"x-api-key": key})).status_code

        write(path, web="", added="")
        assert (await status("web"), await status("added")) == (200, 401)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: ring.num_keys == 2)
        assert (await status("web"), await status("added")) == (200, 200)

        put(path, "[[key")
        os.kill(os.getpid(), signal.SIGHUP)
        assert (await status("web"), await status("added")) == (200, 200)
        write(path, added="")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: ring.num_keys == 1)
        assert (await status("web"), await status("added")) == (401, 200)
