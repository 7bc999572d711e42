"""`tercet serve` with several models, as a process."""

import asyncio

import openai
import pytest

from tests.cli.conftest import RunningServer, run_process, running_server

MODELS = ("max=tercet-tiny", "lily=tercet-tiny")
QUESTION = [{"role": "user", "content": "Tell me a story about a dog named Max."}]


@pytest.fixture(scope="module")
def both():
    with running_server(*MODELS, "--alias", "gpt-4o-mini=lily", "--context", "512") as server:
        yield server


def test_the_banner_tells_of_each_model(both: RunningServer) -> None:
    assert f"serves max, lily at {both.url}/v1" in both.banner
    assert "max: loading 5 MB" in both.banner
    assert "lily: loaded in" in both.banner
    assert "  lily, gpt-4o-mini\n" in both.banner
    assert both.banner.count("  memory  ") == 2
    assert '"model": "max"' in both.banner


def test_openais_client_gets_the_same_answer_from_both(both: RunningServer) -> None:
    client = openai.OpenAI(base_url=f"{both.url}/v1", api_key="none")

    def ask(model: str) -> str:
        answer = client.chat.completions.create(
            model=model, messages=QUESTION, max_tokens=24, seed=7
        )
        assert answer.model == model
        return answer.choices[0].message.content

    listed = [model.id for model in client.models.list()]
    answers = {ask(model) for model in listed}

    assert listed == ["max", "lily", "gpt-4o-mini"]
    assert len(answers) == 1
    assert answers != {""}


async def test_both_answer_at_the_same_time_what_they_answer_alone(both: RunningServer) -> None:
    async with openai.AsyncOpenAI(base_url=f"{both.url}/v1", api_key="none") as client:

        async def ask(model: str) -> str:
            answer = await client.completions.create(
                model=model, prompt="Once upon a time", max_tokens=48, seed=3
            )
            return answer.choices[0].text

        alone = await ask("max")
        together = await asyncio.gather(*(ask(model) for model in ("max", "lily") * 4))

    assert set(together) == {alone}


def test_chat_talks_to_the_model_that_is_named(both: RunningServer) -> None:
    options = ("--max-tokens", "8", "--seed", "1")
    by_alias = run_process(
        "chat", f"{both.url}/v1", "--model", "gpt-4o-mini", *options, stdin="Hello"
    )
    unknown = run_process("chat", f"{both.url}/v1", "--model", "owl", stdin="Hello")

    assert (by_alias.exit_code, bool(by_alias.out.strip())) == (0, True)
    assert "no model owl; it has max, lily, gpt-4o-mini" in unknown.err


def test_chat_takes_an_own_id_that_is_not_listed() -> None:
    with running_server("max=tercet-tiny") as server:
        answered = run_process(
            "chat", f"{server.url}/v1", "--model", "tercet-tiny", "--max-tokens", "4", stdin="Hi"
        )
    assert answered.exit_code == 0


def test_models_that_do_not_fit_together_are_refused_with_each_ones_part() -> None:
    outcome = run_process("serve", *MODELS, "--port", "0", "--kv-cache-bytes", "64TiB")

    assert outcome.exit_code == 1
    line = outcome.err.splitlines()[-1]
    assert line.startswith("tercet: max: weights ")
    assert "; lily: weights " in line
    assert "of memory that this process may use; lower --kv-cache-bytes" in line


def test_the_variable_names_several_models_too() -> None:
    with running_server(TERCET_MODEL=",".join(MODELS), TERCET_ALIAS="a=max,b=lily") as server:
        assert "  max, a\n" in server.banner
        assert "  lily, b\n" in server.banner
