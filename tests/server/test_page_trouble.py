"""The chat page in Chromium when things go wrong: keys, refusals, lost streams, hostile text."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.browser import EMBEDDED, Visit, Visitor, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CHAT = "**/v1/chat/completions"
HOSTILE = '<img src=x onerror="document.title=1"> **bold <b>x</b>** [go](javascript:alert(1))'


@pytest.fixture(scope="module")
def embedded() -> Iterator[str]:
    with running_server(EMBEDDED) as url:
        yield url


@pytest.fixture
def visitor(visit: Visit, embedded: str) -> Iterator[Visitor]:
    visitor = visit(embedded)
    visitor.open()
    yield visitor
    # That a request failed is what the browser itself notes; the page must not add to it.
    noted = "Failed to load resource: "
    visitor.complaints[:] = [text for text in visitor.complaints if not text.startswith(noted)]


def refuse_once(visitor: Visitor, status: int, headers: dict[str, str], **error: Any) -> None:
    body = json.dumps({"error": {"message": "it is so", "code": None, **error}})
    headers = {"content-type": "application/json", **headers}
    visitor.page.route(
        CHAT, lambda route: route.fulfill(status=status, headers=headers, body=body), times=1
    )


def stream_once(visitor: Visitor, *texts: str, end: str = "data: [DONE]\n\n") -> None:
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end
    headers = {"content-type": "text/event-stream"}
    visitor.page.route(CHAT, lambda route: route.fulfill(headers=headers, body=body), times=1)


def ask_in_vain(visitor: Visitor) -> str:
    visitor.prompt.fill("Hello")
    visitor.click("Send")
    visitor.page.locator("#notice").wait_for()
    return visitor.texts("#notice p")[0]


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(visit: Visit) -> None:
    with running_server(EMBEDDED, api_key=["right"]) as url:
        visitor = visit(url)
        visitor.page.goto(url)
        visitor.page.get_by_label("API key", exact=True).fill("wrong")
        visitor.page.keyboard.press("Enter")
        visitor.page.get_by_text("That key is not one of this server’s.").wait_for()
        visitor.page.get_by_label("API key", exact=True).fill("right")
        visitor.page.keyboard.press("Enter")
        visitor.page.locator("#model option[value]").wait_for(state="attached")

        assert visitor.ask("Hello") != ""
        assert visitor.page.evaluate("sessionStorage.getItem('tercet.key')") == "right"
        assert "right" not in visitor.page.evaluate("JSON.stringify(localStorage)")
        assert len(visitor.complaints) == 2  # the two 401s, as the browser notes them
        visitor.complaints.clear()


def test_a_message_sent_without_a_key_is_sent_once_there_is_one(visit: Visit) -> None:
    with running_server(EMBEDDED, api_key=["right"]) as url:
        visitor = visit(url)
        visitor.page.goto(url)
        visitor.page.get_by_label("API key", exact=True).wait_for()
        visitor.page.keyboard.press("Escape")
        visitor.prompt.fill("Hello")
        visitor.page.keyboard.press("Enter")
        visitor.page.get_by_label("API key", exact=True).fill("right")
        visitor.click("Continue")
        assert visitor.answer() != ""
        visitor.complaints.clear()


def test_a_busy_server_is_waited_for(visitor: Visitor) -> None:
    refuse_once(visitor, 429, {"retry-after": "2"}, code="overloaded")
    assert ask_in_vain(visitor) == "The server is busy."
    retry = visitor.page.get_by_role("button", name="Try again")
    assert retry.is_disabled()
    assert retry.inner_text() == "Try again in 2 s"
    assert visitor.texts("[role=alert]:not(dialog *)") == ["The server is busy."]
    retry.click()  # waits until it can be
    assert visitor.answer() != ""
    assert not visitor.page.locator("#notice").is_visible()


def test_a_conversation_that_is_too_long_is_told_with_what_to_do(visitor: Visitor) -> None:
    refuse_once(visitor, 400, {}, code="context_length_exceeded", message="9 tokens, at most 8")
    said = ask_in_vain(visitor)
    assert said == "9 tokens, at most 8. Start a new chat, or edit the last message to be shorter."


def test_an_error_that_is_not_ours_has_its_status(visitor: Visitor) -> None:
    visitor.page.route(CHAT, lambda route: route.fulfill(status=502, body="<html>"), times=1)
    assert ask_in_vain(visitor) == "The server answered with status 502."


def test_a_server_that_is_gone_is_told_and_can_be_tried_again(visitor: Visitor) -> None:
    visitor.page.context.set_offline(True)
    assert ask_in_vain(visitor).startswith("The server cannot be reached.")
    visitor.page.context.set_offline(False)
    visitor.click("Try again")
    assert visitor.answer() != ""


def test_a_stream_that_breaks_off_keeps_what_came(visitor: Visitor) -> None:
    stream_once(visitor, "Once upon", end="")
    assert ask_in_vain(visitor) == "The connection was lost before the answer was complete."
    assert visitor.answer() == "Once upon"
    assert visitor.texts(".assistant .figures")[0].endswith("broken off")


def test_an_error_in_the_midst_of_a_stream_is_told(visitor: Visitor) -> None:
    event = {"error": {"message": "the server is shutting down", "code": "shutting_down"}}
    stream_once(visitor, "Once", end=f"data: {json.dumps(event)}\n\n")
    assert ask_in_vain(visitor).startswith("The server is shutting down.")


def test_a_model_that_is_still_loaded_is_waited_for(visit: Visit, embedded: str) -> None:
    visitor = visit(embedded)
    body = json.dumps({"error": {"message": "the model is being loaded", "code": "loading"}})
    visitor.page.route(
        "**/v1/models",
        lambda route: route.fulfill(status=503, headers={"retry-after": "1"}, body=body),
        times=1,
    )
    visitor.open()
    assert visitor.texts("#model option") == ["tercet-tiny"]
    visitor.complaints.clear()


def test_what_a_model_writes_is_never_html(visitor: Visitor) -> None:
    stream_once(visitor, HOSTILE)
    answer = visitor.ask(HOSTILE)
    assert answer == HOSTILE.replace("**", "")
    assert visitor.texts(".user .content") == [HOSTILE]
    assert visitor.page.locator("#transcript :is(img, b, a, script)").count() == 0
    assert visitor.texts(".assistant strong") == ["bold <b>x</b>"]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("a `b` **c** *d*", "P(a CODE(b) STRONG(c) EM(d))"),
        ("2 * 3 * 4 and a**b", "P(2 * 3 * 4 and a**b)"),
        ("# One\ntwo\nthree\n\nfour", "P(One) P(two\nthree) P(four)"),
        ("- a\n- b\n  - c\n\n3. d\n4. e", "UL(LI(a) LI(b UL(LI(c)))) OL(LI(d) LI(e))"),
        ("```c\n**x** <y>\n```\nz", "DIV(DIV(c) PRE(CODE(**x** <y>))) P(z)"),
        ("```\nstill open", "DIV(DIV(code) PRE(CODE(still open)))"),
        ("```not a fence``` x", "P(CODE(not a fence) x)"),
    ],
)
def test_markdown_becomes_elements(visitor: Visitor, text: str, shape: str) -> None:
    stream_once(visitor, *text)  # character by character
    visitor.ask("Markdown, please")
    found = visitor.page.evaluate(
        """() => {
          const skipped = (node) => node.nodeName === "BUTTON" || node.nodeName === "SVG";
          const shape = (node) => {
            if (node.nodeType === Node.TEXT_NODE) return node.data.trim();
            const inside = shapes([...node.childNodes].filter((n) => !skipped(n)));
            return node.nodeName === "SPAN" ? inside : `${node.nodeName}(${inside})`;
          };
          const shapes = (nodes) => nodes.map(shape).filter(Boolean).join(" ");
          return shapes([...document.querySelector(".assistant .content").childNodes]);
        }"""
    )
    assert found == shape


def test_it_works_behind_a_path(visit: Visit, embedded: str) -> None:
    def pass_on(route: Any) -> None:
        route.fulfill(response=route.fetch(url=route.request.url.replace("/behind/proxy", "")))

    visitor = visit(f"{embedded}/behind/proxy/")  # whatever it asks for outside is noted
    visitor.page.route("**/behind/proxy/**", pass_on)
    visitor.open()
    assert visitor.ask("Hello") != ""
