"""What is read of a server: its metrics, its process, its log, its answers."""

import asyncio
import json
import os
import random
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from benchmarks.soak.clients import client, ordinary
from benchmarks.soak.process import Process, memory_parts
from benchmarks.soak.seeded import REQUESTS, Seeded, essence
from benchmarks.soak.server import complaints
from benchmarks.soak.tally import Tally
from benchmarks.soak.watch import read_metrics

from tests.server.conftest import until


def test_metrics_are_read_by_name_and_labels() -> None:
    text = (
        "# HELP tercet_steps_total Batches.\n"
        'tercet_steps_total{model="a"} 7.0\n'
        'tercet_steps_total{model="b"} 2.0\n'
        "tercet_http_requests_in_flight 1.0\n"
    )
    assert read_metrics(text) == {
        "steps_total": {'model="a"': 7.0, 'model="b"': 2.0},
        "http_requests_in_flight": {"": 1.0},
    }


def test_a_process_is_seen_with_its_sockets_and_threads() -> None:
    before = Process.of(os.getpid())
    may_end = threading.Event()
    thread = threading.Thread(target=may_end.wait)
    thread.start()
    with socket.socket(), Path(os.devnull).open():
        meanwhile = Process.of(os.getpid())
    may_end.set()
    thread.join()

    assert meanwhile.threads == before.threads + 1
    assert meanwhile.descriptors == before.descriptors + 2
    assert meanwhile.sockets == before.sockets + 1
    assert before.rss > 1e6
    assert before.cpu > 0


def test_the_parts_of_memory_add_up() -> None:
    rss = Process.of(os.getpid()).rss
    parts = memory_parts(os.getpid())

    total = sum(parts.get(name, 0) for name in ("heap", "arenas", "files", "other"))
    assert total == pytest.approx(rss, rel=0.1)
    assert 0 < parts["private"] <= parts["pss"] * 1.01


def test_a_log_is_complained_of_where_it_tells_of_errors_or_is_no_log(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    lines = [
        json.dumps({"event": "request", "level": "info"}),
        json.dumps({"event": "few_connections", "level": "warning"}),
        json.dumps({"event": "request_failed", "level": "error"}),
        "Traceback (most recent call last):",
        "",
    ]
    log.write_text("\n".join(lines))

    assert complaints(log) == lines[2:4]


def test_answers_are_the_same_whatever_their_ids_and_caches() -> None:
    def answer(**changes: object) -> bytes:
        choice = {"index": 0, "text": "once", "finish_reason": "stop", **changes}
        usage = {"cached_tokens": random.random()}
        return json.dumps({"id": random.random(), "choices": [choice], "usage": usage}).encode()

    assert essence(answer()) == essence(answer())
    assert essence(answer()) != essence(answer(text="Once"))
    assert essence(answer()) != essence(answer(finish_reason="length"))


def test_streams_are_the_same_however_they_are_cut() -> None:
    def stream(*pieces: str) -> bytes:
        choices = [{"index": 0, "delta": {"content": one}, "finish_reason": None} for one in pieces]
        choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        lines = [f"data: {json.dumps({'choices': [choice]})}\n\n" for choice in choices]
        return "".join([*lines, "data: [DONE]\n\n"]).encode()

    assert essence(stream("on", "ce")) == essence(stream("once"))
    assert essence(stream("on", "ce")) != essence(stream("once", " upon"))


def test_a_difference_is_noted_once_for_each_time_it_is_seen() -> None:
    seeded = Seeded()
    for found in ("a", "a", "b", "a"):
        seeded.compare("chat", found)
    assert seeded.differences == ["chat: a became b"]
    assert set(REQUESTS) > {"chat", "greedy", "JSON"}


@pytest.fixture
async def broken_server() -> AsyncIterator[int]:
    """Answers everything with 500."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 500 oh\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_server_that_fails_is_a_problem_to_its_clients(broken_server: int) -> None:
    tally, stop = Tally(), asyncio.Event()
    asking = asyncio.create_task(client(ordinary, broken_server, 1, tally, stop))
    await until(lambda: tally.statuses[500] >= 5)
    stop.set()
    await asking

    assert any(" 500 " in words for words in tally.problems)


async def test_a_server_that_is_not_there_is_a_problem_too() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tally, stop = Tally(), asyncio.Event()
    asking = asyncio.create_task(client(ordinary, port, 1, tally, stop))
    await until(lambda: bool(tally.problems))
    stop.set()
    await asking

    assert "ConnectionRefusedError" in next(iter(tally.problems))
