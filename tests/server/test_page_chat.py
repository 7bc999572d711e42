"""The chat page in Chromium: typing, clicking, streaming, stopping, coming back."""

import re
from collections.abc import Iterator

import pytest

from tests.server.browser import EMBEDDED, SLOW, Visit, Visitor, num_running, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def embedded() -> Iterator[str]:
    with running_server(EMBEDDED) as url:
        yield url


@pytest.fixture(scope="module")
def slow() -> Iterator[str]:
    with running_server(SLOW) as url:
        yield url


@pytest.fixture
def visitor(visit: Visit, embedded: str) -> Visitor:
    visitor = visit(embedded)
    visitor.open()
    return visitor


def start_an_endless_answer(visit: Visit, url: str) -> Visitor:
    visitor = visit(url)
    visitor.open()
    visitor.prompt.fill("hello")
    visitor.click("Send")
    visitor.page.locator(".assistant .content p").wait_for()
    assert num_running(url) == 1
    return visitor


def await_idle(visitor: Visitor) -> None:
    for _ in range(400):
        if num_running(visitor.url) == 0:
            return
        visitor.page.wait_for_timeout(10)
    pytest.fail("the server goes on computing")


def test_an_answer_is_streamed_and_measured(visitor: Visitor) -> None:
    answer = visitor.ask("Tell me a story about a dog named Max.")

    assert "Max" in answer
    assert visitor.texts(".user .content") == ["Tell me a story about a dog named Max."]
    (figures,) = visitor.texts(".assistant .figures")
    assert re.match(r"first token \d+\.\d\d s · .*\d+ tokens$", figures)
    assert re.fullmatch(r"[\d,]+ of 2,048 tokens", visitor.texts("#context-words")[0])
    assert visitor.texts("#said") == [f"Model: {answer}"]
    assert visitor.prompt.input_value() == ""


def test_the_next_question_carries_what_was_said(visitor: Visitor) -> None:
    visitor.ask("Tell me a story about a dog named Max.")
    with visitor.page.expect_request("**/v1/chat/completions") as asked:
        visitor.ask("What is the moral?")
    body = asked.value.post_data_json
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["stream_options"] == {"include_usage": True}


def test_parameters_are_sent_where_they_are_given(visitor: Visitor) -> None:
    visitor.click("Settings")
    values = {
        "System prompt": ("system", "Be brief."),
        "Temperature": ("temperature", "0.3"),
        "Top-p": ("top_p", "0.9"),
        "Presence penalty": ("presence_penalty", "-1"),
        "Max tokens": ("max_completion_tokens", "5"),
        "Seed": ("seed", "7"),
    }
    for label, (_, value) in values.items():
        visitor.page.get_by_label(label).fill(value)
    visitor.click("Close")
    with visitor.page.expect_request("**/v1/chat/completions") as asked:
        visitor.ask("Tell me a story.")
    body = asked.value.post_data_json

    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["max_completion_tokens"] == 5
    assert (body["temperature"], body["top_p"], body["seed"]) == (0.3, 0.9, 7)
    assert body["presence_penalty"] == -1
    assert "frequency_penalty" not in body
    assert visitor.texts(".assistant .figures")[0].endswith("ended by the limit of tokens")


def test_a_parameter_out_of_range_is_told_and_left_out(visitor: Visitor) -> None:
    visitor.click("Settings")
    visitor.page.get_by_label("Temperature").fill("3")
    assert visitor.texts("#settings-error")[0].startswith("Temperature: ")
    visitor.page.keyboard.press("Escape")
    with visitor.page.expect_request("**/v1/chat/completions") as asked:
        visitor.ask("Hello")
    assert "temperature" not in asked.value.post_data_json


def test_regenerate_asks_again_in_the_place_of_the_answer(visitor: Visitor) -> None:
    first = visitor.ask("Tell me a story about a dog named Max.")
    visitor.click("Regenerate")
    second = visitor.answer()
    assert second != first
    assert len(visitor.texts("#transcript > li")) == 2


def test_the_same_seed_gives_the_same_answer(visitor: Visitor) -> None:
    visitor.click("Settings")
    visitor.page.get_by_label("Seed").fill("7")
    visitor.click("Close")
    first = visitor.ask("Tell me a story about a dog named Max.")
    visitor.click("Regenerate")
    assert visitor.answer() == first


def test_the_last_message_can_be_edited(visitor: Visitor) -> None:
    visitor.ask("Hello")
    visitor.click("Edit")
    assert visitor.prompt.input_value() == "Hello"
    visitor.ask("Tell me a story about a dog named Max.")
    assert visitor.texts(".user .content") == ["Tell me a story about a dog named Max."]
    assert len(visitor.texts("#transcript > li")) == 2


def test_an_edit_that_is_given_up_changes_nothing(visitor: Visitor) -> None:
    visitor.ask("Hello")
    visitor.click("Edit")
    visitor.page.keyboard.press("Escape")
    assert visitor.prompt.input_value() == ""
    assert visitor.texts(".user .content") == ["Hello"]
    assert not visitor.page.get_by_text("Editing your last message").is_visible()


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_stop_stops_the_server_too(visit: Visit, slow: str, how: str) -> None:
    visitor = start_an_endless_answer(visit, slow)
    if how == "button":
        visitor.click("Stop")
    else:
        visitor.page.keyboard.press(how)
    answer = visitor.answer()
    await_idle(visitor)

    assert 0 < len(answer) < 400
    assert visitor.texts(".assistant .figures")[0].endswith("stopped")
    assert visitor.page.get_by_role("button", name="Send").is_visible()
    assert visitor.texts("#said") == ["Stopped."]


def test_a_new_chat_stops_the_answer_of_the_old_one(visit: Visit, slow: str) -> None:
    visitor = start_an_endless_answer(visit, slow)
    visitor.click("New chat")
    await_idle(visitor)
    assert visitor.page.get_by_role("button", name="Send").is_visible()
    visitor.click("Bring the last conversation back")
    assert visitor.answer() != ""


def test_closing_the_page_stops_the_server(visit: Visit, slow: str) -> None:
    visitor = start_an_endless_answer(visit, slow)
    visitor.page.goto("about:blank")
    await_idle(visitor)
    visitor.strangers.clear()


def test_what_is_typed_meanwhile_is_kept_and_not_sent(visit: Visit, slow: str) -> None:
    visitor = start_an_endless_answer(visit, slow)
    visitor.prompt.fill("and then?")
    visitor.page.keyboard.press("Enter")
    visitor.click("Stop")
    visitor.answer()
    assert visitor.texts(".user .content") == ["hello"]
    assert visitor.prompt.input_value() == "and then?"


def test_the_conversation_is_there_after_a_reload(visitor: Visitor) -> None:
    answer = visitor.ask("Tell me a story about a dog named Max.")
    visitor.page.reload()
    assert visitor.answer() == answer


def test_what_had_come_is_there_after_a_reload_in_the_midst(visit: Visit, slow: str) -> None:
    visitor = start_an_endless_answer(visit, slow)
    visitor.page.reload()
    assert visitor.answer() != ""


def test_a_new_chat_is_empty_and_the_last_one_can_be_brought_back(visitor: Visitor) -> None:
    answer = visitor.ask("Hello")
    visitor.click("New chat")
    assert visitor.texts("#transcript > li") == []
    assert visitor.page.get_by_role("heading", name="Ask the model something").is_visible()
    visitor.click("Bring the last conversation back")
    assert visitor.answer() == answer


def test_forgetting_leaves_nothing_in_the_browser(visitor: Visitor) -> None:
    visitor.ask("Hello")
    visitor.click("Settings")
    with visitor.page.expect_navigation():
        visitor.click("Forget all in this browser")
    assert visitor.page.evaluate("Object.keys(localStorage)") == []
    assert visitor.texts("#transcript > li") == []


def test_an_answer_can_be_copied(visitor: Visitor) -> None:
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer = visitor.ask("Hello")
    visitor.click("Copy")
    visitor.page.get_by_text("Copied").wait_for()
    assert visitor.page.evaluate("navigator.clipboard.readText()") == answer


def test_a_suggestion_is_a_message(visitor: Visitor) -> None:
    visitor.click("What can you do?")
    visitor.answer()
    assert visitor.texts(".user .content") == ["What can you do?"]
