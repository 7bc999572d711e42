"""What stands before every request: keys, media types, sizes, numbers, ids."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import CHAT, Service, listening, serving, until

JSON = {"content-type": "application/json"}


@pytest.fixture
async def locked(toy_engine: AsyncEngine) -> AsyncIterator[Service]:
    async with serving(toy_engine, api_key=["first", "schlüssel"]) as service:
        yield service


@pytest.mark.parametrize("key", [b"first", "schlüssel".encode()])
async def test_any_of_the_keys_opens(locked: Service, key: bytes) -> None:
    response = await locked.client.get("/v1/models", headers={"authorization": b"Bearer " + key})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer wrong", "Bearer firs", "Basic first", "first"]
)
async def test_anything_else_does_not(locked: Service, header: str) -> None:
    response = await locked.client.get("/v1/models", headers={"authorization": header})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["code"] == "invalid_api_key"


async def test_the_key_is_looked_at_before_the_body(locked: Service) -> None:
    response = await locked.client.post("/v1/completions", content=b"{", headers=JSON)
    assert response.status_code == 401


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_probes_need_no_key(locked: Service, path: str) -> None:
    assert (await locked.client.get(path)).status_code == 200


async def test_keys_are_never_logged(locked: Service) -> None:
    await locked.client.get("/v1/models", headers={"authorization": "Bearer hunter2"})
    assert "hunter2" not in locked.log.getvalue()
    assert "first" not in repr(locked.app.state.settings)


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
async def test_a_body_that_is_not_declared_to_be_json_is_a_415(
    service: Service, media_type: str
) -> None:
    headers = {"content-type": media_type} if media_type else {}
    response = await service.client.post("/v1/completions", content=b"{}", headers=headers)
    assert response.status_code == 415
    assert response.json()["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"]
)
async def test_every_spelling_of_json_is_taken(service: Service, media_type: str) -> None:
    response = await service.client.post(
        "/v1/completions", content=b'{"prompt":"a"}', headers={"content-type": media_type}
    )
    assert response.status_code == 200


async def test_a_compressed_body_is_a_415(service: Service) -> None:
    headers = {**JSON, "content-encoding": "gzip"}
    response = await service.client.post("/v1/completions", content=b"x", headers=headers)
    assert response.status_code == 415


async def in_pieces(num_bytes: int) -> AsyncIterator[bytes]:
    for start in range(0, num_bytes, 65536):
        yield b" " * min(65536, num_bytes - start)


async def test_a_body_within_the_limit_is_read(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, max_body_bytes=2048) as service:
        body = b'{"prompt":"a"}'.ljust(2048)
        response = await service.client.post("/v1/completions", content=body, headers=JSON)
    assert response.status_code == 200


@pytest.mark.parametrize("num_bytes", [2049, 10_000_000])
async def test_a_body_that_says_it_is_too_large_is_a_413(
    toy_engine: AsyncEngine, num_bytes: int
) -> None:
    async with (
        listening(toy_engine, max_body_bytes=2048) as live,
        httpx.AsyncClient(base_url=live.url) as client,
    ):
        response = await client.post("/v1/completions", content=b" " * num_bytes, headers=JSON)
    assert response.status_code == 413
    assert f"at most 2048 bytes; it has {num_bytes}" in response.json()["error"]["message"]


@pytest.mark.parametrize("num_bytes", [3072, 10_240_000])
async def test_a_body_that_does_not_say_so_is_a_413_too(
    toy_engine: AsyncEngine, num_bytes: int
) -> None:
    async with (
        listening(toy_engine, max_body_bytes=2048) as live,
        httpx.AsyncClient(base_url=live.url) as client,
    ):
        body = in_pieces(num_bytes)
        response = await client.post("/v1/completions", content=body, headers=JSON)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


async def test_bodies_that_are_too_much_together_are_told_to_wait_but_for_small_ones(
    toy_engine: AsyncEngine,
) -> None:
    gate = asyncio.Event()
    num_begun = 0

    async def slowly() -> AsyncIterator[bytes]:
        nonlocal num_begun
        yield b'{"prompt":"a","max_tokens":1}'.ljust(2047)
        num_begun += 1
        await gate.wait()
        yield b" "

    async with (
        listening(toy_engine, max_body_bytes=2048) as live,
        httpx.AsyncClient(base_url=live.url, timeout=30) as client,
    ):
        posts = [client.post("/v1/completions", content=slowly(), headers=JSON) for _ in range(8)]
        held = [asyncio.create_task(post) for post in posts]
        await until(lambda: num_begun == 8)
        await asyncio.sleep(0.1)  # until the server has read them
        large = await client.post("/tokenize", content=b'{"prompt":"a"}'.ljust(100), headers=JSON)
        small = await client.post("/tokenize", content=b'{"prompt":"a"}', headers=JSON)
        gate.set()
        answers = await asyncio.gather(*held)
        whole = b'{"prompt":"a"}'.ljust(2048)
        again = await client.post("/tokenize", content=whole, headers=JSON)

    assert large.status_code == 429
    assert large.headers["retry-after-ms"] == "1000"
    assert "at most 16384 bytes of requests" in large.json()["error"]["message"]
    assert small.status_code == 200
    assert [answer.status_code for answer in answers] == [200] * 8
    assert again.status_code == 200


async def test_more_requests_at_once_than_allowed_are_told_to_wait(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))
    async with serving(engine, max_concurrent_requests=1) as service:
        first = asyncio.create_task(service.chat(max_tokens=1))
        await until(lambda: engine.stats().num_running + engine.stats().num_waiting > 0)
        second = await service.chat(max_tokens=1)
        third = await service.client.post("/tokenize", json={"prompt": "a"})
        probe = await service.client.get("/health")
        gate.set()

        assert second.status_code == 429
        assert second.headers["retry-after-ms"] == "1000"
        assert third.status_code == 429
        assert probe.status_code == 200
        assert (await first).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_place_is_free_again_however_a_request_ends(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async with serving(toy_engine, max_concurrent_requests=1) as service:
        for fields, status in (({}, 200), ({"n": 0}, 400), ({}, 200), ({"model": "no"}, 404)):
            answer = await service.chat(max_tokens=1, stream=stream, **fields)
            assert answer.status_code == status
        monkeypatch.setattr(toy_engine, "submit", None)  # a bug
        assert (await service.chat(max_tokens=1, stream=stream)).status_code == 500
        assert (await service.client.post("/tokenize", json={"prompt": "a"})).status_code == 200


async def test_a_full_engine_is_a_429_that_says_when_to_come_back(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))  # takes 8 and lets 16 wait
    async with serving(engine) as service:
        full = asyncio.create_task(service.complete(prompt=["a"] * 24, max_tokens=1))
        await until(lambda: engine.stats().num_running + engine.stats().num_waiting > 0)
        refused = await service.chat(max_tokens=1)
        gate.set()

        assert refused.status_code == 429
        assert float(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert (await full).status_code == 200


async def test_a_request_that_takes_too_long_is_given_up(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))
    async with serving(engine, request_timeout_seconds=0.05) as service:
        response = await service.chat()
        gate.set()
        await until(lambda: engine.stats().num_aborted == 1)
    assert response.status_code == 504
    assert response.headers["x-should-retry"] == "false"


async def test_a_sane_request_id_is_kept(service: Service) -> None:
    headers = {"x-request-id": "trace-01.a:b_c"}
    response = await service.client.get("/health", headers=headers)
    assert response.headers["x-request-id"] == "trace-01.a:b_c"


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\tb", "<script>", "é"])
async def test_any_other_is_replaced(service: Service, given: str) -> None:
    response = await service.client.get("/health", headers={"x-request-id": given.encode()})
    assert re.fullmatch("req_[0-9a-f]{32}", response.headers["x-request-id"])


async def test_every_answer_tells_how_long_it_took(service: Service) -> None:
    response = await service.chat(max_tokens=1)
    assert int(response.headers["openai-processing-ms"]) >= 0


async def test_web_pages_may_call_only_where_they_are_named(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, cors_origin=["http://ui.example"]) as service:
        known = {"origin": "http://ui.example", "access-control-request-method": "POST"}
        other = {**known, "origin": "http://evil.example"}
        allowed = await service.client.options("/v1/chat/completions", headers=known)
        refused = await service.client.options("/v1/chat/completions", headers=other)
    assert allowed.headers["access-control-allow-origin"] == "http://ui.example"
    assert "access-control-allow-origin" not in refused.headers


async def test_an_error_can_be_read_by_a_page_that_may_call(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, cors_origin=["*"]) as service:
        response = await service.client.post(
            "/v1/chat/completions", json={**CHAT, "n": 99}, headers={"origin": "http://a.example"}
        )
    assert response.status_code == 400
    assert response.headers["access-control-allow-origin"] == "*"
    assert "x-request-id" in response.headers["access-control-expose-headers"]
