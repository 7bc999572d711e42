"""The chat page for everybody: keyboard, screen reader, contrast, themes, small screens."""

from collections.abc import Iterator

import pytest

from tests.server.browser import EMBEDDED, Visit, Visitor, running_server
from tests.server.test_page_trouble import stream_once

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LONG = "x" * 300
RICH = f"Hi `code` **bold**\n\n- one\n\n```python\n{LONG}\n```\n\n{LONG}"

# Text that is seen, with the contrast of its colour to the ground behind it.
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = rgba(colour).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    while (node.parentElement && rgba(getComputedStyle(node).backgroundColor)[3] < 255) {
      node = node.parentElement;
    }
    return getComputedStyle(node).backgroundColor;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const isSeen = node.checkVisibility({ visibilityProperty: true });
    if (!isSeen || !walker.currentNode.data.trim()) continue;
    if (node.closest(".unseen, noscript, option")) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(ground(node))].sort((x, y) => y - x);
    found.push([walker.currentNode.data.trim().slice(0, 40), (a + 0.05) / (b + 0.05)]);
  }
  return found;
}"""

NAMELESS = """() => [
    ...document.querySelectorAll("button, input, select, textarea, meter, dialog, ol, nav"),
  ]
  .filter((node) => !node.closest("#transcript .content"))
  .filter((node) => {
    const by = document.getElementById(node.getAttribute("aria-labelledby") ?? "");
    const said = [node.ariaLabel, by?.textContent, node.labels?.[0]?.textContent];
    if (node.tagName === "BUTTON") said.push(node.textContent);
    return !said.some((text) => text?.trim());
  })
  .map((node) => node.outerHTML)"""


@pytest.fixture(scope="module")
def embedded() -> Iterator[str]:
    with running_server(EMBEDDED) as url:
        yield url


@pytest.fixture
def visitor(visit: Visit, embedded: str) -> Visitor:
    visitor = visit(embedded)
    visitor.open()
    return visitor


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(visit: Visit, embedded: str, scheme: str) -> None:
    visitor = visit(embedded, color_scheme=scheme)
    visitor.open()
    contrasts = visitor.page.evaluate(CONTRASTS)
    stream_once(visitor, RICH, end="")
    visitor.ask("Hello")
    contrasts += visitor.page.evaluate(CONTRASTS)
    visitor.click("Settings")
    contrasts += visitor.page.evaluate(CONTRASTS)

    assert len(contrasts) > 30
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []


def test_every_control_has_a_name(visitor: Visitor) -> None:
    visitor.ask("Hello")
    assert visitor.page.evaluate(NAMELESS) == []


def test_there_is_one_heading_of_the_page_and_one_of_each_landmark(visitor: Visitor) -> None:
    for selector in ("h1", "main", "header", "footer", "nav"):
        assert visitor.page.locator(selector).count() == 1
    assert visitor.page.locator("html[lang=en]").count() == 1


def test_screen_readers_hear_the_answer_once_it_is_whole(visitor: Visitor) -> None:
    visitor.page.evaluate(
        """() => {
          window.heard = [];
          const said = document.querySelector("#said");
          const note = () => window.heard.push(said.textContent);
          new MutationObserver(note).observe(said, { childList: true });
        }"""
    )
    answer = visitor.ask("Tell me a story about a dog named Max.")
    assert visitor.page.evaluate("window.heard") == [f"Model: {answer}"]
    assert visitor.page.locator("#transcript").get_attribute("aria-live") is None
    assert visitor.page.locator("article[aria-busy=true]").count() == 0


def test_all_of_it_can_be_reached_by_the_keyboard(visitor: Visitor) -> None:
    visitor.ask("Hello")
    reached = []
    for _ in range(12):
        visitor.page.keyboard.press("Tab")
        focused = visitor.page.evaluate_handle("document.activeElement").as_element()
        reached.append(focused.get_attribute("aria-label") or focused.inner_text())
        frame = "node => getComputedStyle(node.closest('#composer > textarea') ? node.form : node)"
        if focused.evaluate("node => node !== document.body"):  # past the last one
            assert focused.evaluate(f"node => ({frame})(node).outlineStyle") != "none"
    wanted = {"New chat", "Settings", "Dark theme", "Copy", "Edit", "Regenerate", "Send"}
    assert wanted <= set(reached)


def test_a_slash_leads_to_the_message_and_stays_out_of_it(visitor: Visitor) -> None:
    visitor.page.get_by_role("button", name="Settings").focus()
    visitor.page.keyboard.press("/")
    assert visitor.page.evaluate("document.activeElement.id") == "prompt"
    assert visitor.prompt.input_value() == ""
    visitor.page.keyboard.press("/")
    assert visitor.prompt.input_value() == "/"


def test_shift_and_enter_is_a_new_line(visitor: Visitor) -> None:
    visitor.prompt.type("one")
    low = visitor.prompt.bounding_box()["height"]
    visitor.page.keyboard.press("Shift+Enter")
    visitor.prompt.type("two")
    assert visitor.prompt.input_value() == "one\ntwo"
    assert visitor.prompt.bounding_box()["height"] > low
    visitor.page.keyboard.press("Enter")
    visitor.answer()
    assert visitor.texts(".user .content") == ["one\ntwo"]


def test_a_sheet_closes_with_escape_and_gives_the_focus_back(visitor: Visitor) -> None:
    visitor.click("Settings")
    visitor.page.keyboard.press("Escape")
    assert not visitor.page.locator("#settings").is_visible()
    assert visitor.page.evaluate("document.activeElement.id") == "open-settings"


def test_the_theme_is_the_systems_until_one_is_chosen(visit: Visit, embedded: str) -> None:
    visitor = visit(embedded, color_scheme="dark")
    visitor.open()
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = visitor.page.evaluate(ground)
    visitor.click("Dark theme")
    light = visitor.page.evaluate(ground)
    visitor.page.reload()

    assert light != dark
    assert visitor.page.evaluate(ground) == light
    toggle = visitor.page.get_by_role("button", name="Dark theme")
    assert toggle.get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("width", [320, 360, 768])
def test_nothing_is_wider_than_a_small_screen(visit: Visit, embedded: str, width: int) -> None:
    visitor = visit(embedded, viewport={"width": width, "height": 640}, has_touch=True)
    visitor.open()
    stream_once(visitor, RICH, end="")
    visitor.ask(LONG)
    widths = "[document.documentElement.scrollWidth, document.querySelector('main').scrollWidth]"
    assert max(visitor.page.evaluate(widths)) <= width
    assert visitor.page.evaluate("document.documentElement.scrollHeight") <= 640
    visitor.click("Settings")
    assert visitor.page.evaluate("document.querySelector('#settings').scrollWidth") <= width


def test_what_is_touched_is_large_enough(visit: Visit, embedded: str) -> None:
    visitor = visit(
        embedded, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True
    )
    visitor.open()
    visitor.ask("Hello")
    for button in visitor.page.locator("button:visible").all():
        assert button.bounding_box()["height"] >= 36


def test_nothing_moves_for_who_wants_it_still(visit: Visit, embedded: str) -> None:
    visitor = visit(embedded, reduced_motion="reduce")
    visitor.open()
    visitor.ask("Hello")
    visitor.page.locator("li.assistant").evaluate("node => node.classList.add('busy')")
    style = (
        "getComputedStyle(document.querySelector('.busy .content > p'), '::after').animationName"
    )
    assert visitor.page.evaluate(style) == "none"
