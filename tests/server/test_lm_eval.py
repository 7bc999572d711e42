"""lm-evaluation-harness's local-completions against a running server: scores are the engine's own.

Needs `lm_eval` and `datasets`; nothing is downloaded.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tercet_engine import (
    AsyncEngine,
    CompletionRequest,
    EngineConfig,
    SamplingParams,
    load_engine,
)
from tests.server.conftest import listening

lm_eval = pytest.importorskip("lm_eval", reason="lm_eval is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

QUESTIONS = [
    {"begin": begin, "ends": ends, "right": index % 3}
    for index, (begin, ends) in enumerate(
        [
            ("Once upon a", [" time", " house", " very big red ball in the park"]),
            ("Tom had a small", [" dog.", " dog and a cat", "er"]),
            ("The sun was", [" shining", " sad and it did not want to go", " blue"]),
            ("Lily went to the", [" park with her mom.", " moon", " store"]),
            ("He said, \"Thank", [" you!\"", " me", " you very much, my friend.\""]),
            ("They played all", [" day", " night long", " the naïve größe 日本"]),
            ("A cat", [" sat", " flew over the house", " is"]),
            ("Mom gave her an", [" apple", " umbrella because it rained", " to"]),
        ]
        * 5
    )
]  # fmt: skip
TASK = {
    "task": "endings",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{begin}}",
    "doc_to_choice": "{{ends}}",
    "doc_to_target": "{{right}}",
    "target_delimiter": "",
    "metric_list": [{"metric": "acc"}],
}

Score = tuple[float, bool]


async def test_the_harness_gets_the_engines_own_scores_in_batches_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    data = tmp_path / "test.jsonl"
    data.write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
    config = EngineConfig(num_threads=1, max_context=512, max_sequences=16)
    engine = load_engine(config=config)
    async with listening(engine) as live:
        alone, together = [
            await asyncio.to_thread(evaluate, live.url, data, batch_size) for batch_size in (1, 16)
        ]
        own = [await own_scores(engine, question) for question in QUESTIONS]

    assert alone == own  # floats, bit for bit
    assert together == own
    assert {is_greedy for scores in own for _, is_greedy in scores} == {True, False}


def evaluate(url: str, data: Path, batch_size: int) -> list[list[Score]]:
    """Run the harness; return what it made of each ending of each question."""
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    model = LocalCompletionsAPI(
        base_url=f"{url}/v1/completions",
        model="tercet-tiny",
        tokenizer_backend="auto",  # the server tells how it cuts a text
        batch_size=batch_size,
        max_length=512,
    )
    assert model.tokenizer_backend == "remote"
    task = {**TASK, "dataset_kwargs": {"data_files": {"test": str(data)}}}
    result: Any = lm_eval.simple_evaluate(
        model, tasks=[task], bootstrap_iters=0, log_samples=True, cache_requests=False
    )
    samples = sorted(result["samples"]["endings"], key=lambda sample: sample["doc_id"])
    return [
        [(float(logprob), bool(is_greedy)) for ((logprob, is_greedy),) in sample["resps"]]
        for sample in samples
    ]


async def own_scores(engine: AsyncEngine, question: dict[str, Any]) -> list[Score]:
    return [await own_score(engine, question["begin"], end) for end in question["ends"]]


async def own_score(engine: AsyncEngine, begin: str, end: str) -> Score:
    """The same by the engine itself, the text cut into tokens as the harness does it."""
    tokens = engine.tokenizer.encode(begin + end, add_special_tokens=False)
    num_begin = len(engine.tokenizer.encode(begin, add_special_tokens=False))
    params = SamplingParams(max_tokens=0, temperature=0, prompt_logprobs=1)
    (stream,) = engine.submit([CompletionRequest(tokens, params)])
    async for _ in stream:
        pass
    scores = [score for score in stream.prompt_logprobs[num_begin:] if score]
    return sum(score.logprob for score in scores), all(
        score.logprob == score.top[0][1] for score in scores
    )
