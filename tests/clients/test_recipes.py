"""Every recipe of docs/clients does what its page says: it is run as it stands there."""

import pytest

from tests.clients.conftest import run_node, run_python, run_shell
from tests.clients.recipes import PAGES, Recipe, recipes

RUN = {"python": run_python, "js": run_node, "sh": run_shell}


@pytest.mark.slow
@pytest.mark.clients
@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: f"{recipe.page} {recipe.number}")
def test_it_runs_to_its_end_and_prints_something(recipe: Recipe, url: str) -> None:
    output = RUN[recipe.language](recipe.program(url))
    assert output.strip()


def test_every_page_has_a_program_and_says_what_was_run() -> None:
    pages = sorted(path for path in PAGES.glob("*.md") if path.stem != "index")
    with_program = {recipe.page for recipe in recipes()}
    assert {path.stem for path in pages} == with_program
    for path in pages:
        assert "\n## What was run\n" in path.read_text(encoding="utf-8"), path.name
