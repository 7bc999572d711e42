"""What /metrics tells, and that its labels do not grow by what clients send."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import Service, serving


async def metrics(service: Service) -> str:
    return (await service.client.get("/metrics")).text


def value(text: str, name: str, **labels: str) -> float | None:
    """The value of a series; None if there is none."""
    for line in text.splitlines():
        found = re.fullmatch(r"([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name:
            given = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            if given == labels:
                return float(found[3])
    return None


def promtool(text: str) -> tuple[int, str, str]:
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


async def test_requests_are_counted_by_route_and_status(service: Service) -> None:
    await service.chat(max_tokens=3)
    await service.chat(n=99)
    text = await metrics(service)

    route = "/v1/chat/completions"
    assert value(text, "tercet_http_requests_total", route=route, status="200") == 1
    assert value(text, "tercet_http_requests_total", route=route, status="400") == 1
    assert value(text, "tercet_http_request_duration_seconds_count", route=route) == 2
    assert value(text, "tercet_http_requests_rejected_total", reason="invalid_request") == 1
    assert value(text, "tercet_http_requests_in_flight") == 1  # this one


async def test_what_clients_invent_adds_no_label(service: Service) -> None:
    for index in range(20):
        await service.client.get(f"/nowhere/{index}")
        await service.client.get(f"/v1/responses/resp_{index}")
        await service.client.request(f"VERB{index}", "/v1/models")
    text = await metrics(service)

    assert value(text, "tercet_http_requests_total", route="other", status="404") == 20
    route = "/v1/responses/{response_id}"
    assert value(text, "tercet_http_requests_total", route=route, status="404") == 20
    assert len(re.findall(r"^tercet_http_requests_total", text, re.MULTILINE)) <= 4


async def test_tokens_and_waits_are_told_by_model(service: Service) -> None:
    await service.chat(max_tokens=3)
    text = await metrics(service)

    for name, found in (
        ("tercet_prompt_tokens_total", 24),
        ("tercet_generated_tokens_total", 3),
        ("tercet_time_to_first_token_seconds_count", 1),
        ("tercet_queue_duration_seconds_count", 1),
        ("tercet_inter_token_duration_seconds_count", 2),
        ("tercet_completion_duration_seconds_count", 1),
        ("tercet_completions_waiting", 0),
        ("tercet_waiting_tokens", 0),
        ("tercet_kv_cache_usage_ratio", 0),
        ("tercet_kv_cache_blocks", 256),
        ("tercet_preemptions_total", 0),
    ):
        assert value(text, name, model="toy") == found, name
    assert value(text, "tercet_requests_refused_total", model="toy", reason="queue_time") == 0
    assert 'kernels="toy"' in text
    assert 'packing="toy"' in text
    assert (value(text, "tercet_process_resident_memory_bytes") or 0) > 1e6
    assert value(text, "tercet_planned_memory_bytes", model="toy", part="weights") == 0


async def test_buckets_are_summed_up_to_the_count(service: Service) -> None:
    await service.chat(max_tokens=5)
    text = await metrics(service)
    name = "tercet_step_tokens"
    found = re.findall(rf'^{name}_bucket{{le="([^"]+)",model="toy"}} (\S+)$', text, re.MULTILINE)

    counts = [float(count) for _, count in found]
    assert counts == sorted(counts)
    assert found[-1] == ("+Inf", str(value(text, f"{name}_count", model="toy")))


async def test_the_label_is_the_name_under_which_the_model_is_served(
    toy_engine: AsyncEngine,
) -> None:
    async with serving(toy_engine, served_model_name=("max", "other")) as service:
        assert 'tercet_completions_running{model="max"} 0.0' in await metrics(service)


async def test_names_for_gateways_are_told_where_they_are_wanted(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine) as service:
        assert "vllm:" not in await metrics(service)
    async with serving(toy_engine, gateway_metrics=True) as service:
        text = await metrics(service)
    for name in ("num_requests_waiting", "num_requests_running"):
        assert value(text, f"vllm:{name}", model_name="toy") == 0
    for name in ("kv_cache_usage_perc", "gpu_cache_usage_perc"):
        assert value(text, f"vllm:{name}", model_name="toy") == 0
    assert 'block_size="16"' in text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
async def test_promtool_finds_nothing_to_complain_of(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    async with serving(toy_engines()) as service:
        await service.chat(max_tokens=3)
        await service.chat(n=99)
        text = await metrics(service)
    complaints = await asyncio.to_thread(promtool, text)
    assert complaints == (0, "", "")
