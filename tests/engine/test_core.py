"""What the runner refuses costs the sequence that is to blame, and nobody else."""

import pytest
from typing_extensions import override

from tercet_engine import EngineConfig, SamplingParams
from tercet_engine.batch import Batch
from tercet_engine.core import EngineCore, TokenOutput
from tercet_engine.sequence import Sequence
from tercet_engine.step_result import StepResult
from tests.oracle.toy_runner import ToyRunner, toy_completion

REFUSED_SEED = 13


class PickyRunner(ToyRunner):
    """Refuses batches in which somebody draws with one seed, from some position on."""

    def __init__(self, from_position: int) -> None:
        super().__init__(64, 16)
        self._from_position = from_position

    @override
    def run(self, batch: Batch) -> StepResult:
        sampling = batch.sampling
        for seed, position in zip(sampling.seed, sampling.position, strict=True):
            if seed == REFUSED_SEED and position >= self._from_position:
                message = "no such seed"
                raise ValueError(message)
        return super().run(batch)


def sequence(number: int, seed: int) -> Sequence:
    params = SamplingParams(temperature=1, seed=seed, max_tokens=8)
    return Sequence(number, [number + 1] * 20, params, 8)


def serve(core: EngineCore, sequences: list[Sequence]) -> dict[int, list[TokenOutput]]:
    outputs: dict[int, list[TokenOutput]] = {seq.id: [] for seq in sequences}
    core.add(sequences)
    while core.has_work:
        for output in core.step():
            outputs[output.sequence_id].append(output)
        core.check_invariants()
    return outputs


@pytest.mark.parametrize(("from_position", "num_tokens"), [(0, 0), (24, 4)])
def test_a_refused_sequence_ends_and_the_others_get_their_answers(
    from_position: int, num_tokens: int
) -> None:
    core = EngineCore(PickyRunner(from_position), EngineConfig(block_size=16))
    sequences = [sequence(0, 1), sequence(1, REFUSED_SEED), sequence(2, 2)]
    outputs = serve(core, sequences)

    assert [output.error is not None for output in outputs[1]] == [False] * num_tokens + [True]
    for index in (0, 2):
        wanted = toy_completion([index + 1] * 20, 8, seed=index // 2 + 1)
        assert [output.token for output in outputs[index]] == wanted


def test_a_refused_sequence_alone_leaves_an_engine_that_goes_on() -> None:
    core = EngineCore(PickyRunner(0), EngineConfig(block_size=16))
    serve(core, [sequence(0, REFUSED_SEED)])

    assert len(serve(core, [sequence(1, 1)])[1]) == 8


class BrokenRunner(ToyRunner):
    """Refuses two sequences together and neither alone."""

    @override
    def run(self, batch: Batch) -> StepResult:
        if len(batch.positions) > 1:
            message = "broken"
            raise ValueError(message)
        return super().run(batch)


def test_an_error_that_nobody_is_to_blame_for_is_not_swallowed() -> None:
    core = EngineCore(BrokenRunner(64, 16), EngineConfig(block_size=16))
    core.add([sequence(0, 1), sequence(1, 2)])

    with pytest.raises(ValueError, match="broken"):
        core.step()
