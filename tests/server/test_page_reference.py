"""The page that shows the API, in a browser."""

from collections.abc import Iterator

import pytest

from tests.server.browser import EMBEDDED, Visit, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_server(EMBEDDED) as url:
        yield url


def test_it_shows_fields_with_their_bounds_and_a_command_for_each_example(
    visit: Visit, url: str
) -> None:
    page = visit(url).page
    page.goto(f"{url}/docs")
    chat = page.locator("details.operation", has_text="/v1/chat/completions").first
    chat.locator("summary").click()
    row = chat.locator("tr", has=page.locator("code", has_text="temperature")).first
    assert "number 0 to 2" in row.inner_text()
    command = chat.locator("pre").first.inner_text()
    assert command.startswith(f"curl {url}/v1/chat/completions ")


def test_it_has_no_empty_heading_and_lets_every_operation_be_opened(visit: Visit, url: str) -> None:
    page = visit(url).page
    page.goto(f"{url}/docs")
    page.wait_for_selector("details.operation")
    operations = page.locator("details.operation")
    assert operations.count() == page.evaluate(
        "fetch('openapi.json').then((r) => r.json())"
        ".then((d) => Object.values(d.paths).flatMap(Object.keys).length)"
    )
    for number in range(operations.count()):
        operations.nth(number).locator("summary").click()
    assert page.locator("details.operation[open]").count() == operations.count()
