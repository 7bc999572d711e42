"""One line a request, and what must never be in it."""

from tercet_engine import AsyncEngine
from tests.server.conftest import Service, serving


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
    async with serving(toy_engine, log_format="console") as service:
        await service.client.get("/v1/x%0a2026-01-01 [info] forged")
    assert service.log.getvalue().count("\n") == 1
