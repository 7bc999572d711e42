"""The chat page before a server of several models."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.browser import EMBEDDED, Visit, Visitor, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def several() -> Iterator[str]:
    models = ["max=tercet-tiny", "lily=tercet-tiny"]
    with running_server(EMBEDDED, model=models, alias=["gpt-4o-mini=lily"], context=512) as url:
        yield url


@pytest.fixture
def visitor(visit: Visit, several: str) -> Visitor:
    visitor = visit(several)
    visitor.open()
    return visitor


def choice_of(visitor: Visitor) -> Any:
    """As a screen reader finds it."""
    return visitor.page.get_by_role("combobox", name="Model", exact=True)


def asked_for(visitor: Visitor) -> str:
    """The model that a question is sent to."""
    with visitor.page.expect_request("**/v1/chat/completions") as request:
        visitor.ask("Hello.")
    return str(json.loads(request.value.post_data)["model"])


def test_the_first_model_is_asked_unless_another_is_chosen(visitor: Visitor) -> None:
    choice = choice_of(visitor)
    assert choice.locator("option").all_inner_texts() == ["max", "lily", "gpt-4o-mini"]
    assert asked_for(visitor) == "max"

    choice.select_option("lily")
    assert asked_for(visitor) == "lily"


def test_the_choice_is_remembered_in_this_browser(visitor: Visitor) -> None:
    choice_of(visitor).select_option("gpt-4o-mini")
    visitor.page.reload()
    visitor.page.locator("#model:enabled").wait_for()

    assert choice_of(visitor).input_value() == "gpt-4o-mini"
    assert asked_for(visitor) == "gpt-4o-mini"


def test_it_can_be_chosen_with_the_keys_alone(visitor: Visitor) -> None:
    choice_of(visitor).focus()
    visitor.page.keyboard.press("l")
    visitor.page.keyboard.press("Enter")

    assert choice_of(visitor).input_value() == "lily"
