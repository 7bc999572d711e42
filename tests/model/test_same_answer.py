"""One answer: what a request gets depends on the model, its prompt, its parameters and its seed.

Not on who shares the batch, in which chunks a prompt is computed, whether its beginning was cached,
whether it was preempted, whether it was guessed how it goes on, how long steps take, how many
threads compute, or which kernels. So every answer here is compared, token by token, with the one
that the same request gets alone, cold, on one thread, with the reference kernels.
"""

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tercet_engine import _core
from tercet_engine.checkpoint import Checkpoint, WeightForm
from tercet_engine.completion import FinishReason
from tercet_engine.core import EngineCore
from tercet_engine.model_loader import LoadedModel
from tercet_engine.sampling_params import SamplingParams
from tests.model.running import Asked, answer, answers, core_for, load
from tests.oracle.make_tiny import random_checkpoint
from tests.repeats import repeats

VOCAB_SIZE = 320
KERNELS = _core.supported_kernels()
THREADS = (1, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_checkpoint(seed=11).write(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[tuple[str, int], LoadedModel]:
    """The model, packed for every kernel set and number of threads."""
    settings = itertools.product(KERNELS, THREADS)
    return {
        (kernels, threads): load(folder, kernels=kernels, num_threads=threads, head="int8")
        for kernels, threads in settings
    }


@pytest.fixture(scope="module")
def plain(models: dict[tuple[str, int], LoadedModel]) -> LoadedModel:
    return models["reference", 1]


def random_params(rng: random.Random, max_tokens: int) -> SamplingParams:
    return SamplingParams(
        max_tokens=max_tokens,
        temperature=rng.choice([0, 0.3, 1, 1.7]),
        top_p=rng.choice([1, 0.9, 0.3]),
        top_k=rng.choice([0, 0, 1, 5, 40]),
        min_p=rng.choice([0, 0, 0.1]),
        seed=rng.randrange(2**64),
        repetition_penalty=rng.choice([1, 1, 1.3, 0.8]),
        presence_penalty=rng.choice([0, 0, 1.5, -1]),
        frequency_penalty=rng.choice([0, 0, 0.7]),
        logit_bias=rng.choice([{}, {}, {5: 40.0, 6: -100.0}]),
        min_tokens=rng.choice([0, 0, min(3, max_tokens)]),
    )


def uneven_clock(seed: int) -> Callable[[], float]:
    """A clock by which every step takes another time, whatever is in it."""
    rng, seconds = random.Random(seed), itertools.count()
    return lambda: next(seconds) * 0.05 + rng.random() * 0.05


def random_requests(rng: random.Random) -> list[Asked]:
    """Prompts of all lengths; some begin alike, some are choices of one request."""
    beginnings = [[rng.randrange(VOCAB_SIZE) for _ in range(rng.randint(1, 90))] for _ in range(2)]
    asked = []
    for _ in range(rng.randint(2, 10)):
        shared = rng.choice(beginnings)[: rng.randint(1, 90)]
        own = [rng.randrange(VOCAB_SIZE) for _ in range(rng.choice([0, 1, 7, 40]))]
        max_tokens = rng.randint(1, 24)
        ends = frozenset(rng.sample(range(VOCAB_SIZE), 8)) if rng.random() < 0.5 else frozenset()
        params = random_params(rng, max_tokens)
        choices = range(rng.choice([1, 1, 2]))
        prompt = (*shared, *own)
        asked += [Asked(prompt, max_tokens, params, choice, ends) for choice in choices]
    return asked


def serve_mixed(rng: random.Random, core: EngineCore, asked: list[Asked]) -> dict[int, list[int]]:
    """Serve requests that arrive at random, some aborted midway; return the finished answers."""
    coming = list(enumerate(asked))
    rng.shuffle(coming)
    here, finished = {}, {}
    while coming or core.has_work:
        while coming and rng.random() < 0.6:
            number, one = coming.pop()
            here[number] = one.sequence(number)
            core.add([here[number]])
        if here and rng.random() < 0.02:
            core.end(here.pop(rng.choice(list(here))), FinishReason.ABORT)
        for output in core.step():
            if output.finish_reason:
                seq = here.pop(output.sequence_id)
                finished[seq.id] = seq.tokens[seq.num_prompt_tokens :]
        core.check_invariants()
    stats = core.stats()
    assert stats.num_free_blocks == stats.num_blocks
    return finished


def check_mixes(
    seeds: range, models: dict[tuple[str, int], LoadedModel], plain: LoadedModel
) -> dict[str, int]:
    """Serve one random mix per seed, under random settings; count what happened."""
    happened = dict.fromkeys(("answers", "preemptions", "cached", "aborted", "guessed"), 0)
    for seed in seeds:
        rng = random.Random(seed)
        asked = random_requests(rng)
        settings = {
            "num_blocks": rng.choice([13, 16, 64]),
            "chunk": rng.choice([1, 2, 7, 16, 33, 512]),
            "max_sequences": rng.choice([1, 4, 8]),
            "prefix_cache": rng.random() < 0.8,
            "speculation": rng.choice(["auto", "off"]),
            "max_step_ms": rng.choice([0, 20, 200]),
            "clock": uneven_clock(rng.randrange(100)),
        }
        kernels, threads = rng.choice(KERNELS), rng.choice(THREADS)
        core = core_for(models[kernels, threads], **settings)
        for number, tokens in serve_mixed(rng, core, asked).items():
            alone = answer(core_for(plain), asked[number])
            assert tokens == alone, f"seed {seed}, {kernels}, {threads} threads, {settings}"
            happened["answers"] += 1
        stats = core.stats()
        happened["preemptions"] += stats.num_preemptions
        happened["cached"] += stats.num_cached_tokens
        happened["aborted"] += stats.num_aborted
        happened["guessed"] += stats.num_accepted_tokens
    return happened


def test_every_answer_in_a_mix_is_the_one_given_alone(
    models: dict[tuple[str, int], LoadedModel], plain: LoadedModel
) -> None:
    happened = check_mixes(range(72), models, plain)

    # A mix shows something only if it did what it is there to stress.
    assert happened["answers"] > 150
    assert happened["preemptions"] > 5
    assert happened["cached"] > 500
    assert happened["aborted"] > 5
    assert happened["guessed"] > 20


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_answer_in_hundreds_of_mixes_is_the_one_given_alone(
    models: dict[tuple[str, int], LoadedModel], plain: LoadedModel
) -> None:
    count = repeats(300)
    assert check_mixes(range(1000, 1000 + count), models, plain)["answers"] > 5 * count


LONG = Asked(
    tuple(number * 37 % VOCAB_SIZE for number in range(200)),
    max_tokens=12,
    params=SamplingParams(temperature=1, seed=5),
)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("chunk", [1, 2, 3, 15, 16, 17, 100, 199, 200, 512])
def test_the_cuts_of_a_prompt_change_nothing(
    models: dict[tuple[str, int], LoadedModel],
    plain: LoadedModel,
    kernels: str,
    threads: int,
    chunk: int,
) -> None:
    core = core_for(models[kernels, threads], chunk=chunk, max_sequences=1)

    assert answer(core, LONG) == answer(core_for(plain), LONG)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("chunk", [1, 7, 16, 33, 512])
def test_the_cuts_of_a_prompt_change_nothing_with_int8_keys_and_values(
    models: dict[tuple[str, int], LoadedModel],
    plain: LoadedModel,
    kernels: str,
    threads: int,
    chunk: int,
) -> None:
    core = core_for(models[kernels, threads], chunk=chunk, max_sequences=1, kv_type="int8")

    assert answer(core, LONG) == answer(core_for(plain, kv_type="int8"), LONG)


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_cached_prefix_changes_nothing(
    models: dict[tuple[str, int], LoadedModel], kernels: str
) -> None:
    core = core_for(models[kernels, 2])
    cold = answer(core, LONG)

    assert answer(core, LONG) == cold
    assert core.stats().num_cached_tokens == 192


@pytest.mark.parametrize(
    ("kernels", "packing"),
    [(kernels, packing) for kernels in KERNELS for packing in _core.packings(kernels)],
)
def test_the_packing_of_weights_changes_nothing(
    folder: Path, plain: LoadedModel, kernels: str, packing: str
) -> None:
    model = load(folder, kernels=kernels, packing=packing, num_threads=2, head="int8")
    asked = [LONG, Asked((7, 8), 30, SamplingParams(temperature=1, seed=3)), Asked((9,) * 50, 8)]

    assert model.runner.model.packing == packing
    assert model.fingerprint == plain.fingerprint
    assert answers(core_for(model), asked) == answers(core_for(plain), asked)


def test_preemption_changes_nothing(
    models: dict[tuple[str, int], LoadedModel], plain: LoadedModel
) -> None:
    asked = [Asked((number, 2, 3), 60, SamplingParams(seed=number)) for number in range(6)]
    core = core_for(models[KERNELS[0], 2], num_blocks=8)
    served = answers(core, asked)

    assert core.stats().num_preemptions > 0
    assert served == [answer(core_for(plain), one) for one in asked]


@pytest.mark.parametrize("temperature", [0, 0.6])
@pytest.mark.parametrize("penalty", [0, -1.5])
def test_guessing_changes_nothing(
    models: dict[tuple[str, int], LoadedModel],
    plain: LoadedModel,
    temperature: float,
    penalty: float,
) -> None:
    """A bias keeps the text to a few tokens, so that many guesses are right and many are wrong."""
    few = dict.fromkeys(range(40, 40 + (3 if temperature else 1)), 30.0)
    asked = [
        Asked(
            (*range(30 + number), *range(12)),
            80,
            SamplingParams(
                temperature=temperature,
                seed=number,
                logit_bias=few if number % 2 else {},
                presence_penalty=penalty if number > 2 else 0,
                min_tokens=40 if number == 1 else 0,
            ),
            end_tokens=frozenset({41} if number < 3 else ()),
        )
        for number in range(5)
    ]
    core = core_for(models[KERNELS[0], 2], speculation="auto", clock=uneven_clock(1))
    served = answers(core, asked)
    stats = core.stats()

    assert served == [answer(core_for(plain), one) for one in asked]
    assert stats.num_accepted_tokens > 20
    if temperature:  # else the text repeats itself so strictly that no guess is wrong
        assert stats.num_drafted_tokens > stats.num_accepted_tokens


def test_other_seeds_and_choices_give_other_answers(plain: LoadedModel) -> None:
    prompt, hot = (1, 2, 3), {"temperature": 2.0}
    asked = [
        Asked(prompt, 20, SamplingParams(seed=1, **hot)),
        Asked(prompt, 20, SamplingParams(seed=2, **hot)),
        Asked(prompt, 20, SamplingParams(seed=1, **hot), choice=1),
    ]

    assert len({tuple(tokens) for tokens in answers(core_for(plain), asked)}) == 3


def test_packed_and_masters_give_the_same_answers(tmp_path: Path) -> None:
    """With the packed form's scales stored unrounded, there is no difference to be seen at all."""
    masters_folder = random_checkpoint("masters").write(tmp_path / "masters")
    masters = Checkpoint(masters_folder)
    packed = random_checkpoint("packed")
    for layer, name in itertools.product(range(2), masters.shape.linear_shapes):
        linear = masters.linear(layer, name)
        scale_name = f"{masters.linear_name(layer, name)}_scale"
        packed.tensors[scale_name] = ("F32", np.array([linear.scale], np.float32))
    packed_folder = packed.write(tmp_path / "packed")
    asked = [
        Asked((seed, 7, 9), 40, SamplingParams(temperature=seed % 2, seed=seed))
        for seed in range(8)
    ]

    assert masters.form is WeightForm.MASTERS
    assert answers(core_for(load(packed_folder)), asked) == answers(
        core_for(load(masters_folder)), asked
    )


def test_the_likeliest_tokens_of_the_published_forms_agree() -> None:
    """Their scales differ by a rounding, which a few tokens of greedy text do not show."""
    data = Path(__file__).parents[1] / "oracle" / "data" / "tiny"
    greedy = Asked(
        (1, 5, 17, 300, 42, 42, 7, 199, 3, 250, 11, 64), 3, SamplingParams(temperature=0)
    )

    assert answer(core_for(load(data / "bitnet_offline")), greedy) == answer(
        core_for(load(data / "bitnet_online")), greedy
    )
