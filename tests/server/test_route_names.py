import pytest

from tercet_server.app import create_app
from tercet_server.reference.document import build_document
from tercet_server.route_names import ROUTE_NAMES
from tests.server.conftest import settings_of


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/responses/resp_1", "/v1/responses/{response_id}"),
        ("/v1/responses/resp_1/cancel", "/v1/responses/{response_id}/cancel"),
        ("/page/chat.js", "/page/{name}"),
        ("/", "/"),
        ("/v1/responses/", None),
        ("/v1/chat/completions/x", None),
        ("/v1/responses/a/b", None),
        ("", None),
    ],
)
def test_a_path_is_named_by_its_template(path: str, name: str | None) -> None:
    assert ROUTE_NAMES(path) == name


def test_every_route_of_the_api_has_a_name() -> None:
    paths = build_document(create_app(settings_of(), None).routes)["paths"]
    assert len(paths) > 20
    for template in paths:
        assert ROUTE_NAMES(template.replace("{", "").replace("}", "")) is not None
