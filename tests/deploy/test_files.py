"""Files that other programs read: each is read here by the program itself, or by its checker."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from tercet_engine import AsyncEngine
from tests.deploy.processes import HAPROXY, ROOT
from tests.server.conftest import serving

OBSERVE = ROOT / "deploy/observe"
PROMTOOL = shutil.which("promtool")
_TOOLS = str(Path(sys.executable).parent)
HADOLINT = shutil.which("hadolint", path=_TOOLS)
SHELLCHECK = shutil.which("shellcheck", path=_TOOLS)
DASHBOARD = OBSERVE / "grafana/dashboards/tercet.json"
BALANCER = {"TERCET_BIND": "127.0.0.1:1", "TERCET_METRICS_BIND": "127.0.0.1:2"}
with_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: apt install prometheus")


def run(line: Sequence[str | Path | None], **environment: str) -> None:
    result = subprocess.run(
        [str(part) for part in line],
        env={**os.environ, **environment},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.skipif(HADOLINT is None, reason="no hadolint: pip install --group deploy")
def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    run([HADOLINT, ROOT / "docker/Dockerfile"])


@pytest.mark.skipif(SHELLCHECK is None, reason="no shellcheck: pip install --group deploy")
def test_shellcheck_has_nothing_to_say_of_its_scripts() -> None:
    run([SHELLCHECK, *sorted((ROOT / "docker").glob("*.sh"))])


@pytest.mark.skipif(HAPROXY is None, reason="no haproxy: apt install haproxy")
def test_haproxy_takes_its_configuration() -> None:
    run([HAPROXY, "-c", "-f", ROOT / "deploy/scale/haproxy.cfg"], **BALANCER)


@with_promtool
@pytest.mark.parametrize(
    "line",
    [
        ("check", "config", OBSERVE / "prometheus.yml"),
        ("check", "rules", OBSERVE / "rules.yml"),
        ("test", "rules", OBSERVE / "rules_test.yml"),
    ],
    ids=["config", "rules", "alerts"],
)
def test_prometheus_takes_its_configuration_and_alerts_when_it_should(
    line: tuple[str | Path, ...],
) -> None:
    run([PROMTOOL, *line])


@with_promtool
async def test_prometheus_finds_the_metrics_well_formed(
    toy_engine: AsyncEngine, tmp_path: Path
) -> None:
    text = tmp_path / "metrics"
    text.write_text(await _metrics_of(toy_engine))

    await asyncio.to_thread(run, ["sh", "-c", f"{PROMTOOL} check metrics < {text}"])


async def test_dashboard_and_alerts_ask_for_metrics_that_there_are(
    toy_engine: AsyncEngine,
) -> None:
    asked = _names_in(OBSERVE / "rules.yml")
    asked |= _names_in(DASHBOARD)

    text = await _metrics_of(toy_engine)

    told = set(re.findall(r"^(tercet_\w+)", text, re.MULTILINE))
    assert len(asked) > 20
    assert asked - told == set()


def test_every_panel_asks_something_and_none_covers_another() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert panel["type"] == "row" or panel["targets"], panel["title"]
        taken |= cells


def test_grafanas_own_types_know_every_field_of_the_dashboard() -> None:
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    plugins.register_default_plugins()
    written = json.loads(DASHBOARD.read_text())

    read = models.Dashboard.from_json(written)

    again = json.loads(encoder.JSONEncoder().encode(read))
    assert set(_paths_of(written)) - set(_paths_of(again)) == set()


def _paths_of(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths_of(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _paths_of(inner, f"{path}[]")
    else:
        yield path


def _names_in(path: Path) -> set[str]:
    return set(re.findall(r"\btercet_\w+", path.read_text()))


async def _metrics_of(engine: AsyncEngine) -> str:
    """After a request of each kind that has numbers of its own."""
    async with serving(engine) as service:
        assert (await service.chat(max_tokens=4)).status_code == 200
        assert (await service.chat(max_tokens=-1)).status_code == 400
        return generate_latest(service.app.state.metrics.registry).decode()
