"""An API key is in no log, metric, trace, answer or text of the settings, wherever it was sent."""

import hmac
import logging
from pathlib import Path

import pytest

from tercet_engine import AsyncEngine
from tercet_server import key_ring
from tercet_server.key_ring import KeyRing
from tercet_server.settings import InvalidSettings, load_settings
from tests.server.conftest import CHAT, serving

RIGHT, WRONG = "right-hunter2-key", "wrong-hunter2-key"


@pytest.mark.parametrize("form", ["text", "json"])
async def test_it_is_told_nowhere(
    toy_engine: AsyncEngine,
    form: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    told = ""
    async with serving(toy_engine, api_key=[RIGHT], log_format=form, log_level="debug") as service:
        for name, value in (
            *(("authorization", f"Bearer {RIGHT}"), ("authorization", f"Bearer {WRONG}")),
            *(("authorization", f"Basic {WRONG}"), ("x-api-key", RIGHT), ("x-api-key", WRONG)),
        ):
            for path in ("/v1/chat/completions", "/v1/messages", "/api/chat", "/nowhere"):
                response = await service.client.post(path, json=CHAT, headers={name: value})
                told += response.text + repr(response.headers)
        state = service.app.state
        told += (await service.client.get("/metrics")).text
        told += (await service.client.get("/openapi.json")).text
        told += service.log.getvalue() + caplog.text
        told += repr(state.settings) + str(state.settings) + repr(vars(state.keys))
        told += state.settings.model_dump_json()

        def fail(*_: object) -> None:
            key = RIGHT
            raise RuntimeError(key)

        monkeypatch.setattr(KeyRing, "find", fail)
        headers = {"authorization": f"Bearer {RIGHT}"}
        response = await service.client.get("/v1/models", headers=headers)
        assert response.status_code == 500
        told += response.text + service.log.getvalue()
    assert "RuntimeError" in told
    assert "hunter2" not in told


def test_a_wrong_setting_does_not_quote_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('[[key]]\nname = "a"\nkey = "hunter2"\nrequests_per_minute = "hunter2"\n')
    for wrong in ({"api_key": [RIGHT], "port": -1}, {"api_key": [5, RIGHT]}):
        with pytest.raises(InvalidSettings) as raised:
            load_settings(**wrong)
        assert "hunter2" not in str(raised.value)


def test_every_key_is_compared_by_its_digest_and_none_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    really = hmac.compare_digest

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return really(left, right)

    monkeypatch.setattr(key_ring.hmac, "compare_digest", compare)
    ring = KeyRing(["first", "second", "third"])
    counts = []
    for given in (b"first", b"third", b"", b"x" * 60_000):
        compared.clear()
        ring.find(given)
        counts.append(len(compared))
        assert all(len(left) == len(right) == 32 for left, right in compared)
    assert counts == [3, 3, 3, 3]
