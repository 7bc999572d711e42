#!/usr/bin/env python3
"""Ask an exported model fixed questions and check what a rule can check: subject, ending, holes.

    python -m training.evaluate --model export               # the twenty of the acceptance test
    python -m training.evaluate --model export --set unseen  # other wordings, names and words
    python -m training.evaluate --model export --seeds 5     # five samples of each

Grammar is for a reader to judge: every answer is printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from training.reference import Reference
from training.tokenizer import prompt

QUESTIONS = Path(__file__).parent / "questions.json"
FEWEST_WORDS_OF_A_STORY = 40


@dataclass(frozen=True, slots=True)
class Question:
    """A chat that waits for an answer, and what the answer must be like."""

    turns: list[tuple[str, str]]
    must: list[str]  # regular expressions which all have to be found
    story: bool


def questions(name: str) -> list[Question]:
    """One set of `questions.json`; in a chat the lines of user and assistant take turns."""
    out = []
    for entry in json.loads(QUESTIONS.read_text())[name]:
        lines = entry["chat"]
        turns = [("user" if i % 2 == 0 else "assistant", line) for i, line in enumerate(lines)]
        out.append(Question(turns, entry["must"], entry.get("story", False)))
    return out


def faults(question: Question, answer: str, *, ended: bool) -> list[str]:
    """What is wrong with an answer, as far as rules can tell."""
    found = [] if ended else ["does not end"]
    found += [f"lacks {p}" for p in question.must if not re.search(p, answer, re.IGNORECASE)]
    words = answer.split()
    if question.story and len(words) < FEWEST_WORDS_OF_A_STORY:
        found.append("no story")
    if not question.story and len(words) > FEWEST_WORDS_OF_A_STORY:
        found.append("a story without being asked")
    if not answer.strip() or (answer.strip()[-1] not in ".!?\"'" and question.story):
        found.append("breaks off")
    sentences = re.split(r"(?<=[.!?])\s+", answer)
    if any(a == b for a, b in itertools.pairwise(sentences) if len(a.split()) > 2):
        found.append("repeats itself")
    return found


def main() -> None:
    """Print every answer and a table of the checks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("export"))
    parser.add_argument("--set", default="fixed")
    parser.add_argument("--temperature", type=float, default=0.6)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="faulty answers only")
    a = parser.parse_args()
    model, asked = Reference(a.model), questions(a.set)
    out, passed = sys.stdout.write, 0
    for number, question in enumerate(asked, 1):
        for seed in range(a.first_seed, a.first_seed + a.seeds):
            answer, ended = model.generate(
                prompt(question.turns),
                temperature=a.temperature,
                top_p=a.top_p,
                seed=1000 * seed + number,
            )
            wrong = faults(question, answer, ended=ended)
            passed += not wrong
            if wrong or not a.quiet:
                out(f"{number:2} {question.turns[-1][1]}\n")
                out(f"   [{'; '.join(wrong) or 'ok'}] {answer}\n\n")
    out(f"{passed} of {len(asked) * a.seeds} pass\n")


if __name__ == "__main__":
    main()
