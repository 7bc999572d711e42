"""One line a request, and what must never be in it."""

import io
import json
import logging
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tercet_server.logs import make_logger, route_logging
from tests.server.conftest import Service, serving, settings_of


async def test_a_completion_is_one_line_of_numbers(service: Service) -> None:
    response = await service.chat(max_tokens=3, seed=11)

    (line,) = service.log_lines()
    assert line["event"] == "request"
    assert line["request_id"] == response.headers["x-request-id"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/chat/completions", 200)
    assert (line["num_prompt_tokens"], line["num_generated_tokens"]) == (24, 3)
    assert line["finish_reasons"] == ["length"]
    assert line["seed"] == 11
    assert line["seconds_to_first_token"] <= line["seconds"]


async def test_a_drawn_seed_is_logged_so_that_the_answer_can_be_repeated(service: Service) -> None:
    first = (await service.chat(temperature=1, max_tokens=20)).json()["choices"]
    (line,) = service.log_lines()
    again = (await service.chat(temperature=1, max_tokens=20, seed=line["seed"])).json()["choices"]
    assert again == first


async def test_neither_prompts_nor_answers_are_logged(service: Service) -> None:
    secret = "xyzzy plugh"
    messages = [{"role": "user", "content": secret}]
    answer = (await service.chat(messages=messages, max_tokens=30)).json()
    await service.chat(messages=messages, max_tokens=30, stream=True)
    await service.chat(messages=[{"role": secret, "content": secret}])
    await service.chat(messages=messages, model=secret, stop=[secret] * 9)
    await service.complete(prompt=secret * 100)

    log = service.log.getvalue()
    assert "xyzzy" not in log
    assert answer["choices"][0]["message"]["content"] not in log


async def test_a_refusal_logs_its_code(service: Service) -> None:
    await service.chat(n=99)
    (line,) = service.log_lines()
    assert (line["status"], line["error_code"]) == (400, "invalid_request")


async def test_an_unknown_field_is_logged_by_name_once(service: Service) -> None:
    await service.chat(max_tokens=1, mood="secret wish")
    await service.chat(max_tokens=1, mood="another")

    ignored = [line for line in service.log_lines() if line["event"] == "field_ignored"]
    assert [line["field"] for line in ignored] == ["'mood'"]
    assert "secret wish" not in service.log.getvalue()


async def test_names_of_unknown_fields_do_not_grow_without_end(service: Service) -> None:
    for start in range(0, 400, 20):
        names = {f"field{i}": 1 for i in range(start, start + 20)}
        await service.complete(max_tokens=1, **names)
    ignored = [line for line in service.log_lines() if line["event"] == "field_ignored"]
    assert len(ignored) == 256


async def test_probes_are_quiet(service: Service) -> None:
    await service.client.get("/health")
    assert service.log.getvalue() == ""


async def test_a_path_cannot_forge_a_line(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, log_format="text") as service:
        await service.client.get("/v1/x%0a2026-01-01 [info] forged")
    assert service.log.getvalue().count("\n") == 1


HOSTILE = "x\r\n2026-01-01 [info     ] request key=forged\x1b[2J\x07\x00\x85\u2028\u202e end"


@pytest.mark.parametrize("form", ["text", "json"])
async def test_nothing_that_a_client_sends_can_forge_a_line(
    toy_engine: AsyncEngine, form: str
) -> None:
    async with serving(toy_engine, log_format=form) as service:
        for body in (
            {"model": HOSTILE, "messages": HOSTILE},
            {"messages": [{"role": HOSTILE, "content": HOSTILE}]},
            {"messages": [{"role": "user", "content": HOSTILE}], HOSTILE: 1, "max_tokens": 1},
        ):
            await service.client.post("/v1/chat/completions", json=body)
        await service.client.get("/v1/" + "".join(f"%{byte:02x}" for byte in HOSTILE.encode()))
        await service.client.get("/health", headers={"x-request-id": "a b"})
    lines = service.log.getvalue().split("\n")
    assert lines.pop() == ""
    assert len(lines) == 5  # one for each request, one for the field that is ignored
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("2026-01-01") for line in lines)
    if form == "json":
        assert {json.loads(line)["event"] for line in lines} == {"request", "field_ignored"}


def test_records_of_libraries_and_tracebacks_cannot_forge_a_line() -> None:
    for form in ("text", "json"):
        output = io.StringIO()
        logger = make_logger(settings_of(log_format=form), output)
        logger.error("failed", detail=HOSTILE, parts=[HOSTILE], exc_info=ValueError(HOSTILE))
        text = output.getvalue()
        assert "\x1b" not in text
        assert "\u202e" not in text
        heads = [line for line in text.splitlines() if not line.startswith("    ")]
        assert len(heads) == 1


async def test_a_line_tells_the_route_and_the_waits(service: Service) -> None:
    await service.chat(max_tokens=3)
    await service.client.get("/v1/responses/resp_1")
    await service.client.get("/nowhere")
    first, second, third = service.log_lines()

    assert first["route"] == "/v1/chat/completions"
    assert 0 <= first["queue_seconds"] <= first["seconds_to_first_token"] <= first["seconds"]
    assert first["model"] == "toy"
    assert "client_left" not in first
    assert second["route"] == "/v1/responses/{response_id}"
    assert third["route"] is None


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [("abc-1.2:3_4", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("a;b", False)],
)
async def test_an_id_from_the_client_is_taken_if_it_is_short_and_safe(
    service: Service, given: str, is_taken: bool
) -> None:
    response = await service.client.get("/v1/models", headers={"x-request-id": given})
    (line,) = service.log_lines()
    assert (response.headers["x-request-id"] == given) is is_taken
    assert line["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("form", ["text", "json"])
async def test_an_exception_is_logged_by_its_place_and_not_by_its_message(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    secret = "xyzzy plugh"

    async def fail(_self: object, request: Any, _record: object) -> None:
        try:
            int(request.messages[0].text)  # whose message quotes it
        except ValueError as error:
            raise KeyError(secret) from error

    monkeypatch.setattr("tercet_server.services.chat.ChatService.answer", fail)
    async with serving(toy_engine, log_format=form) as service:
        response = await service.chat(messages=[{"role": "user", "content": secret}])
    log = service.log.getvalue()
    assert response.status_code == 500
    assert "request_failed" in log
    assert "KeyError" in log
    assert "ValueError" in log
    assert "in fail" in log
    assert "xyzzy" not in log + response.text


def test_what_libraries_log_of_an_exception_is_no_message_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    route_logging(settings_of(log_format="text"), output)
    group = ExceptionGroup("xyzzy", [ValueError("xyzzy"), OSError(28, "No space left", "xyzzy")])
    with pytest.raises(ExceptionGroup) as raised:
        raise group
    logging.getLogger("any").error("it failed", exc_info=raised.value)
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: xyzzy")

    log = output.getvalue()
    assert "it failed" in log
    assert "ExceptionGroup" in log
    assert "ValueError" in log
    assert "OSError: No space left (errno 28)" in log
    assert "never retrieved" in log
    assert "xyzzy" not in log
