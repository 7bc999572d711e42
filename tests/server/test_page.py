"""The chat page's files over HTTP: who gets them, with what headers, and who does not."""

import re
from pathlib import Path

import pytest

import tercet_server
from tercet_engine import AsyncEngine
from tests.server.conftest import Service, serving

STATIC = Path(tercet_server.__file__).parent / "static"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_a_browser_gets_the_page(service: Service) -> None:
    response = await service.client.get("/", headers=BROWSER)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == (STATIC / "page.html").read_text()


async def test_a_program_is_told_where_the_api_is(service: Service) -> None:
    response = await service.client.get("/")
    assert response.json()["api"] == "/v1"
    assert response.headers["vary"] == "accept"


async def test_every_file_that_the_page_names_is_there(service: Service) -> None:
    page = (await service.client.get("/", headers=BROWSER)).text
    names = re.findall(r'(?:href|src)="(page/[^"]+)"', page)
    assert len(names) == 7
    for name in names:
        assert (await service.client.get(f"/{name}")).status_code == 200


async def test_every_module_that_a_script_imports_is_there(service: Service) -> None:
    for script in STATIC.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', script.read_text()):
            response = await service.client.get(f"/page/{name}")
            assert response.headers["content-type"] == "text/javascript; charset=utf-8"


async def test_it_may_load_nothing_from_elsewhere_and_run_nothing_inline(service: Service) -> None:
    for path in ("/", "/page/page.js"):
        headers = (await service.client.get(path, headers=BROWSER)).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert headers["x-content-type-options"] == "nosniff"
    for file in STATIC.iterdir():
        allowed = {"http://www.w3.org/2000/svg"}
        assert set(re.findall(r"https?://[^\"' ]+", file.read_text())) <= allowed


@pytest.mark.parametrize("path", ["/", "/page/page.css"])
async def test_who_has_it_is_told_that_it_has_not_changed(service: Service, path: str) -> None:
    first = await service.client.get(path, headers=BROWSER)
    known = {**BROWSER, "if-none-match": f'"other", W/{first.headers["etag"]}'}
    second = await service.client.get(path, headers=known)
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize(
    "name", ["page.html", "nothing.js", "..%2fapp.py", "%2e%2e/app.py", "page.js/", ".", ""]
)
async def test_no_other_file_can_be_named(service: Service, name: str) -> None:
    response = await service.client.get(f"/page/{name}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_url"


async def test_it_needs_no_key_though_the_api_does(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, api_key=["secret"]) as service:
        assert (await service.client.get("/", headers=BROWSER)).status_code == 200
        assert (await service.client.get("/page/page.js")).status_code == 200
        assert (await service.client.get("/v1/models")).status_code == 401


async def test_it_is_there_while_the_model_is_loaded() -> None:
    async with serving() as service:
        assert (await service.client.get("/", headers=BROWSER)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/page/page.js"])
async def test_it_can_be_switched_off(toy_engine: AsyncEngine, path: str) -> None:
    async with serving(toy_engine, page=False) as service:
        response = await service.client.get(path, headers=BROWSER)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_url"


async def test_its_files_do_not_fill_the_log(service: Service) -> None:
    await service.client.get("/", headers=BROWSER)
    await service.client.get("/page/page.js")
    assert [line["path"] for line in service.log_lines()] == ["/"]
