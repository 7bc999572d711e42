"""Every error in OpenAI's shape, and none unmapped."""

import pytest

from tercet_engine import (
    AsyncEngine,
    EngineDraining,
    EngineError,
    EngineOverloaded,
    PromptTooLong,
    RequestError,
    TemplateError,
)
from tercet_server.dialects import OPENAI
from tercet_server.errors import KINDS, ServerError, reply_to
from tests.server.conftest import Service, serving


def family(root: type[Exception]) -> set[type[Exception]]:
    return {root}.union(*(family(child) for child in root.__subclasses__()))


def test_every_error_has_its_place_in_the_table() -> None:
    assert set(KINDS) == family(EngineError) | family(ServerError)


def test_only_the_roots_are_bugs() -> None:
    bugs = {error for error, kind in KINDS.items() if kind.status == 500}
    assert bugs == {EngineError, ServerError}


def test_every_fault_of_a_request_is_a_400() -> None:
    assert {KINDS[error].status for error in family(RequestError)} == {400}


def test_the_message_and_the_field_are_the_errors_own() -> None:
    assert OPENAI.error_body(reply_to(PromptTooLong(600, None, 512))) == {
        "error": {
            "message": str(PromptTooLong(600, None, 512)),
            "type": "invalid_request_error",
            "param": "prompt",
            "code": "context_length_exceeded",
        }
    }


def test_an_overloaded_engine_says_when_to_come_back() -> None:
    reply = reply_to(EngineOverloaded("requests", 256, 2.25))
    assert reply.status == 429
    assert reply.headers == {"retry-after": "3", "retry-after-ms": "2250"}


def test_a_draining_server_closes_its_connections_and_says_when_to_come_back() -> None:
    reply = reply_to(EngineDraining())
    assert reply.status == 503
    assert reply.headers == {"connection": "close", "retry-after": "5", "retry-after-ms": "5000"}


def test_nothing_of_a_bug_reaches_the_client() -> None:
    reply = reply_to(ZeroDivisionError("secret"))
    assert reply.status == 500
    assert "secret" not in reply.message


async def raising(error: Exception, service: Service) -> None:
    """Give the application a route which raises."""

    async def fail() -> None:
        raise error

    service.app.add_api_route("/v1/fail", fail)


async def test_a_bug_is_answered_with_the_id_under_which_it_is_logged(service: Service) -> None:
    await raising(ZeroDivisionError("secret"), service)
    response = await service.client.get("/v1/fail", headers={"x-request-id": "mine"})

    assert response.status_code == 500
    assert response.headers["x-request-id"] == "mine"
    assert response.json()["error"]["code"] == "internal_error"
    logged = [line for line in service.log_lines() if line["event"] == "request_failed"]
    assert logged[0]["request_id"] == "mine"
    assert "ZeroDivisionError" in logged[0]["exception"]


async def test_an_error_of_the_engine_becomes_its_reply(service: Service) -> None:
    await raising(TemplateError("roles must alternate"), service)
    response = await service.client.get("/v1/fail")
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "roles must alternate"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "unknown_url"),
        ("POST", "/chat/completions", 404, "unknown_url"),
        ("POST", "/v1/chat/completions/", 404, "unknown_url"),
        ("GET", "/v1/%ff%00/../x", 404, "unknown_url"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/v1/models/toy", 405, "method_not_allowed"),
        ("PUT", "/health", 405, "method_not_allowed"),
    ],
)
async def test_what_the_router_refuses_has_the_same_shape(
    service: Service, method: str, path: str, status: int, code: str
) -> None:
    response = await service.client.request(method, path)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert response.headers["x-request-id"]


async def test_a_wrong_verb_is_told_the_right_one(service: Service) -> None:
    response = await service.client.get("/v1/completions")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"temperature": 2.5}, "temperature", "temperature must be at most 2; got 2.5"),
        ({"temperature": "1"}, "temperature", "temperature must be a number; got '1'"),
        ({"temperature": True}, "temperature", "temperature must be a number; got true"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens must be at least 1; got 0"),
        ({"max_tokens": 1.5}, "max_tokens", "max_tokens must be a whole number; got 1.5"),
        ({"n": 17}, "n", "n must be at most 16; got 17"),
        ({"top_p": -0.1}, "top_p", "top_p must be at least 0; got -0.1"),
        ({"stream": "yes"}, "stream", "stream must be true or false; got 'yes'"),
        ({"stop": ["a"] * 5}, "stop", "stop must have at most 4 entries; got a list of 5"),
        ({"stop": ""}, "stop[0]", "stop[0] must have 1 or more characters; got ''"),
        ({"stop": {"a": 1}}, "stop", "stop must be a string, or a list of strings"),
        ({"messages": []}, "messages", "messages must have 1 or more entries; got a list of 0"),
        ({"messages": "hi"}, "messages", "messages must be a list; got 'hi'"),
        (
            {"messages": [{"role": "bot", "content": ""}]},
            "messages[0].role",
            "messages[0].role must be 'developer', 'system', 'user', 'assistant', 'tool' or "
            "'function'; got 'bot'",
        ),
        (
            {"messages": [{"role": "user"}]},
            "messages[0].content",
            "messages[0].content is required: a string, or a list of parts of type 'text'",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]",
            "messages[0].content[0] must be a part of type 'text': this server does not take "
            "images, audio or files",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": []}]}]},
            "messages[0].content[0]",
            None,
        ),
        ({"response_format": {"type": {}}}, "response_format", None),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "messages[0].content[0].text is required",
        ),
        (
            {"logit_bias": {"x": 1}},
            "logit_bias",
            "logit_bias must have token ids as its keys; got 'x'",
        ),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "logit_bias.5 must be at most 100; got 101"),
        ({"seed": 2**64}, "seed", f"seed must be at most {2**64 - 1}; got {2**64}"),
        ({"min_tokens": 9, "max_tokens": 3}, "min_tokens", None),
        ({"logit_bias": {"259": 1}}, "logit_bias", None),
        ({"stop_token_ids": [259]}, "stop_token_ids", None),
        ({"metadata": {"a": "x" * 513}}, "metadata.a", None),
        ({"metadata": {str(i): "" for i in range(17)}}, "metadata", None),
    ],
)
async def test_a_wrong_value_is_refused_with_its_limit(
    service: Service, fields: dict[str, object], param: str, words: str | None
) -> None:
    response = await service.chat(**fields)
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert words is None or error["message"] == words


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{\x00}\x00",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b"[" * 100_000,
        b'{"n":' + b"1" * 5000 + b"}",
    ],
)
async def test_what_is_not_the_json_of_a_request_is_a_400(service: Service, body: bytes) -> None:
    response = await service.client.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_a_byte_order_mark_does_no_harm(service: Service) -> None:
    body = b'\xef\xbb\xbf{"prompt":"a"}'
    response = await service.client.post(
        "/v1/completions", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 200


@pytest.mark.parametrize("name", ["gpt-4", "", "toy/", "x" * 256])
async def test_an_unknown_model_is_a_404_that_names_the_known_one(
    service: Service, name: str
) -> None:
    response = await service.chat(model=name)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert response.json()["error"]["param"] == "model"
    assert "'toy'" in response.json()["error"]["message"]


async def test_a_text_too_long_to_be_tokenised_is_a_prompt_too_long(
    toy_engine: AsyncEngine,
) -> None:
    async with serving(toy_engine, max_prompt_chars=100) as service:
        within = await service.complete(prompt=["x" * 100, "y" * 60])
        response = await service.complete(prompt=["x" * 60, "y" * 101])
    assert within.status_code == 200
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert response.json()["error"]["message"].startswith("prompt holds 101 characters")


async def test_by_default_it_is_so_at_many_characters_for_each_token(service: Service) -> None:
    messages = [{"role": "user", "content": "x" * (32 * 512 + 1)}]
    error = (await service.chat(messages=messages)).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert "at most 16384 are looked at" in error["message"]
