"""Scores, embeddings and constraints: right, and the same whatever surrounds the request."""

import json
import random
from collections.abc import Iterator

import numpy as np
import pytest

from tercet_engine import EMBEDDED_MODEL, Tokenizer
from tercet_engine.completion import FinishReason, Pooling, TokenLogprobs
from tercet_engine.core import EngineCore, TokenOutput
from tercet_engine.grammar import Grammar, GrammarKind, GrammarSpec
from tercet_engine.grammar_compiler import GrammarCompiler
from tercet_engine.model_loader import LoadedModel
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.sequence import Sequence
from tests.model.running import core_for, load

TEXT = "Once upon a time there was a little fox who lived near the river. One day the fox saw"
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load(EMBEDDED_MODEL, head="int8", num_threads=2)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(EMBEDDED_MODEL)


@pytest.fixture(scope="module")
def prompt(tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode(TEXT)


def serve(core: EngineCore, *sequences: Sequence) -> list[list[TokenOutput]]:
    """Compute sequences to their ends; what came out of each."""
    outputs: dict[int, list[TokenOutput]] = {seq.id: [] for seq in sequences}
    core.add(sequences)
    while core.has_work:
        for output in core.step():
            outputs[output.sequence_id].append(output)
    core.check_invariants()
    return [outputs[seq.id] for seq in sequences]


def scored(prompt: list[int], number: int = 0, **params: object) -> Sequence:
    return Sequence(number, list(prompt), SamplingParams(prompt_logprobs=3, **params), 4)


def company(count: int) -> Iterator[Sequence]:
    rng = random.Random(5)
    for number in range(1, count + 1):
        tokens = [rng.randrange(4000) for _ in range(rng.randrange(5, 60))]
        yield Sequence(number, tokens, SamplingParams(temperature=1, seed=number), 12)


def test_prompt_scores_are_those_of_the_logits(model: LoadedModel, prompt: list[int]) -> None:
    core = core_for(model)
    (outputs,) = serve(core, scored(prompt))
    scores = outputs[0].prompt_logprobs

    assert scores[0] is None
    assert [score.token for score in scores[1:] if score] == prompt[1:]
    serve(core_for(model), Sequence(0, prompt[:10], SamplingParams(), 1))
    logits = model.runner.model.logits()[0].astype(np.float64)
    logprobs = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    tenth = scores[10]
    assert tenth is not None
    assert tenth.logprob == pytest.approx(logprobs[prompt[10]], abs=1e-4)
    assert [token for token, _ in tenth.top] == np.argsort(-logprobs)[:3].tolist()


def test_the_best_token_is_known_by_exact_equality(model: LoadedModel, prompt: list[int]) -> None:
    greedy = Sequence(0, list(prompt), SamplingParams(temperature=0, logprobs=2), 8)
    for output in serve(core_for(model), greedy)[0]:
        assert output.logprobs is not None
        assert output.logprobs.top[0] == (output.token, output.logprobs.logprob)


@pytest.mark.parametrize("chunk", [1, 7, 512])
@pytest.mark.parametrize("num_blocks", [14, 64])  # 14: some are preempted
def test_scores_do_not_depend_on_what_surrounds_a_request(
    model: LoadedModel, prompt: list[int], chunk: int, num_blocks: int
) -> None:
    alone = serve(core_for(model), scored(prompt, logprobs=2, temperature=1, seed=3))[0]
    core = core_for(model, chunk=chunk, num_blocks=num_blocks, max_sequences=4)
    serve(core, Sequence(99, list(prompt), SamplingParams(), 2))  # the prompt is in the cache
    asked = scored(prompt, logprobs=2, temperature=1, seed=3)
    together = serve(core, *company(2), asked, *company(0))[2]

    assert together == [output._replace(num_cached_tokens=0) for output in alone]


def test_a_prompt_may_be_scored_from_some_token_on_and_the_rest_cached(
    model: LoadedModel, prompt: list[int]
) -> None:
    core = core_for(model)
    whole = serve(core, scored(prompt))[0][0].prompt_logprobs
    end = serve(core, scored(prompt, score_from=18))[0][0]

    assert end.num_cached_tokens == 16
    assert end.prompt_logprobs == (None,) * 18 + whole[18:]


def test_a_prompt_may_be_scored_and_nothing_generated(
    model: LoadedModel, prompt: list[int]
) -> None:
    seq = Sequence(0, list(prompt), SamplingParams(max_tokens=0, prompt_logprobs=0), 0)
    (output,) = serve(core_for(model, chunk=5), seq)[0]

    assert output.token is None
    assert output.finish_reason is FinishReason.LENGTH
    assert [score.token for score in output.prompt_logprobs if score] == prompt[1:]
    assert all(isinstance(score, TokenLogprobs) for score in output.prompt_logprobs[1:])


@pytest.mark.parametrize("pooling", list(Pooling))
def test_embeddings_do_not_depend_on_what_surrounds_a_request(
    model: LoadedModel, prompt: list[int], pooling: Pooling
) -> None:
    def embedded() -> Sequence:
        return Sequence(0, list(prompt), SamplingParams(max_tokens=0), 0, pooling=pooling)

    alone = serve(core_for(model), embedded())[0][-1].embedding
    core = core_for(model, chunk=8, max_sequences=4)
    together = serve(core, *company(2), embedded())[2][-1].embedding
    again = serve(core, embedded())[0][-1].embedding

    assert alone is not None
    assert alone.shape == (model.runner.model.hidden(np.array([0], np.int32)).shape[1],)
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(again, alone)


def test_the_two_poolings_differ_and_agree_on_a_prompt_of_one_token(model: LoadedModel) -> None:
    def embed(tokens: list[int], pooling: Pooling) -> np.ndarray:
        seq = Sequence(0, tokens, SamplingParams(max_tokens=0), 0, pooling=pooling)
        embedding = serve(core_for(model), seq)[0][-1].embedding
        assert embedding is not None
        return embedding

    np.testing.assert_array_equal(embed([5], Pooling.MEAN), embed([5], Pooling.LAST))
    assert not np.array_equal(embed([5, 6], Pooling.MEAN), embed([5, 6], Pooling.LAST))


@pytest.fixture(scope="module")
def end(tokenizer: Tokenizer) -> int:
    token = tokenizer.token_id("<|eot_id|>")
    assert token is not None
    return token


@pytest.fixture
async def grammar(tokenizer: Tokenizer, end: int) -> Grammar:
    compiler = GrammarCompiler(tokenizer, 4096, {end})
    return await compiler.compile(GrammarSpec(GrammarKind.JSON_SCHEMA, json.dumps(SCHEMA)))


def constrained(prompt: list[int], grammar: Grammar, end: int, seed: int) -> Sequence:
    return Sequence(
        0,
        list(prompt),
        SamplingParams(temperature=1, seed=seed),
        64,
        frozenset({end}),
        constraint=grammar.start(),
    )


async def test_a_constrained_answer_obeys_and_is_the_same_in_company(
    model: LoadedModel, tokenizer: Tokenizer, prompt: list[int], grammar: Grammar, end: int
) -> None:
    for seed in range(6):
        alone = constrained(prompt, grammar, end, seed)
        serve(core_for(model), alone)
        together = constrained(prompt, grammar, end, seed)
        serve(core_for(model, chunk=9, num_blocks=14, max_sequences=4), *company(2), together)

        assert together.tokens == alone.tokens
        assert alone.finish_reason is FinishReason.STOP
        value = json.loads(tokenizer.decode(alone.tokens[alone.num_prompt_tokens :]))
        assert set(value) == {"name", "age"}
        assert isinstance(value["age"], int)


async def test_a_grammar_that_fails_ends_its_own_answer_alone(
    model: LoadedModel, prompt: list[int], grammar: Grammar, end: int
) -> None:
    broken = constrained(prompt, grammar, end, 0)
    assert broken.constraint is not None
    broken.constraint.accept(7)  # which no JSON begins with
    other = next(company(1))
    outputs, others = serve(core_for(model), broken, other)

    assert [output.error is not None for output in outputs] == [True]
    assert len(others) == 12


def test_blocks_are_shared_only_under_the_same_salt(model: LoadedModel, prompt: list[int]) -> None:
    core = core_for(model)

    def cached(salt: bytes) -> int:
        seq = Sequence(0, list(prompt), SamplingParams(), 1, cache_salt=salt)
        return serve(core, seq)[0][0].num_cached_tokens

    assert cached(b"") == 0
    assert cached(b"") == 16
    assert cached(b"a" * 16) == 0
    assert cached(b"a" * 16) == 16
    assert cached(b"b" * 16) == 0


def test_a_lower_priority_goes_first(model: LoadedModel, prompt: list[int]) -> None:
    core = core_for(model, max_sequences=1)
    first = Sequence(0, list(prompt), SamplingParams(), 2)
    later = Sequence(1, list(prompt), SamplingParams(), 2)
    urgent = Sequence(2, list(prompt), SamplingParams(), 2, priority=-1)
    core.add([first])
    core.step()
    core.add([later, urgent])
    order = []
    while core.has_work:
        order += [o.sequence_id for o in core.step() if o.finish_reason]

    assert order == [0, 2, 1]
