"""What docs/operations.md says is what the server does."""

import re
from pathlib import Path

from tercet_engine import AsyncEngine
from tercet_server.config_file import read_config_file
from tercet_server.key_file import read_key_file
from tercet_server.settings import Settings, load_settings
from tests.server.conftest import serving

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
SETTINGS, KEYS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def test_the_file_of_settings_is_one(tmp_path: Path) -> None:
    path = tmp_path / "tercet.toml"
    path.write_text(SETTINGS)
    values = read_config_file(path, Settings.model_fields)
    assert values["queue_timeout"] == 20
    assert load_settings(config=path).model == (values["model"],)


def test_the_file_of_keys_is_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(KEYS)
    assert [key.name for key in read_key_file(path)] == ["web", "batch"]


def test_every_flag_that_is_named_exists() -> None:
    flags = {name.replace("-", "_") for name in re.findall(r"`--([a-z][a-z-]+)", TEXT)}
    assert flags - Settings.model_fields.keys() == {"json"}  # of tercet doctor


async def test_every_metric_that_is_named_exists(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, gateway_metrics=True) as service:
        await service.chat(max_tokens=2)
        await service.chat(n=99)
        told = (await service.client.get("/metrics")).text
    (section,) = re.findall(r"## Metrics\n(.*?)\n## ", TEXT, re.DOTALL)
    rows = "".join(re.findall(r"^\| `.*?\| ", section, re.MULTILINE))
    names = re.findall(r"`([a-z_]+)(?:\{[a-z,]+\})?`", rows)
    assert len(names) > 20
    for name in names:
        assert re.search(rf"^# TYPE tercet_{name} ", told, re.MULTILINE), name
    for name in re.findall(r"`(vllm:\w+)`", section):
        assert f"# TYPE {name} " in told
