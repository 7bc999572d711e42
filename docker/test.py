"""Builds the image, runs it as an orchestrator would, and says what it weighs and costs.

    make docker-test                                   # DOCKER, BASE_IMAGE, CA: see below
    python docker/test.py --image tercet --no-build --no-speed

Read-only, without capabilities, with one CPU and 1 GiB: becomes healthy, answers a request and a
stream, stops in time with status 0, also when it is stopped while it still starts. More than its
memory could hold is sent to it at once: it refuses and lives on. Then its throughput is compared
with that of the same server outside, on one CPU of the same host: it must be nine tenths of it.
Environment: DOCKER, the client; BASE_IMAGE, to build on; CA, a bundle of certificates for building.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKER = os.environ.get("DOCKER", "docker")
SIZE_LIMIT_MB = 250
MIN_SPEED = 0.9
FLOOD = 300
BODY_BYTES = 4 * 2**20
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
HARDENED = (*HARDENED, "--security-opt", "no-new-privileges", "--cpus", "1", "--memory", "1g")
DRAIN_SECONDS = 25
ANSWER = {
    "messages": [{"role": "user", "content": "Tell me a story about a dog named Max."}],
    "seed": 7,
    "max_tokens": 100,
}
LONG = {"prompt": "Once", "max_tokens": 1500, "ignore_eos": True, "seed": 1}


def main() -> int:
    """Run every check; the first that fails ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", default="tercet")
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--no-speed", action="store_true")
    options = parser.parse_args()
    if not options.no_build:
        build(options.image)
    say_size(options.image)
    check_what_is_inside(options.image)
    check_service(options.image)
    check_early_stop(options.image)
    check_flood(options.image)
    if not options.no_speed:
        compare_speed(options.image)
    print("all is well")
    return 0


def docker(*arguments: str) -> str:
    """What the client prints."""
    line = [DOCKER, *arguments]
    return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def build(image: str) -> None:
    """Build it as the Makefile does."""
    options = ["--file", "docker/Dockerfile", "--tag", image]
    if base := os.environ.get("BASE_IMAGE"):
        options += ["--build-arg", f"BASE_IMAGE={base}"]
    if bundle := os.environ.get("CA"):
        options += ["--secret", f"id=ca,src={bundle}"]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    subprocess.run(
        [DOCKER, "build", "--quiet", *options, "."], check=True, cwd=ROOT, env=environment
    )


def say_size(image: str) -> None:
    """A size above the limit is told, not refused: bases differ."""
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6
    print(f"size: {size:.0f} MB{'' if size <= SIZE_LIMIT_MB else f', above {SIZE_LIMIT_MB}'}")


def check_what_is_inside(image: str) -> None:
    """Nobody's installer, nobody's secret, nothing that makes anybody root."""
    script = (
        "id -u; find / -xdev -type f -perm /6000 2>/dev/null | wc -l; "
        "command -v pip apt-get perl gcc | wc -l; ls /run/secrets 2>/dev/null | wc -l; "
        "touch /here 2>/dev/null && echo writable; touch /models/x && echo kept"
    )
    found = docker("run", "--rm", *HARDENED, "--entrypoint", "sh", image, "-c", script).split()
    expect("user, setuid files, tools, secrets, volume", found, ["10001", "0", "0", "0", "kept"])


def check_service(image: str) -> None:
    """Healthy, a request, a stream, and a stop that lets a stream finish."""
    with running(image) as (name, url):
        began = time.monotonic()
        until(lambda: get(f"{url}/ready") == 200, "ready")
        print(f"ready after {time.monotonic() - began:.1f} s")
        answer = json.loads(post(f"{url}/v1/chat/completions", ANSWER))
        check("finish_reason", answer["choices"][0]["finish_reason"] in {"stop", "length"})
        pieces = post(f"{url}/v1/chat/completions", {**ANSWER, "stream": True}).splitlines()
        texts = [json.loads(piece[6:]) for piece in pieces if piece.startswith("data: {")]
        deltas = [text["choices"][0]["delta"].get("content") or "" for text in texts]
        expect("the stream", "".join(deltas), answer["choices"][0]["message"]["content"])
        check("several events", len(deltas) > 3)
        until(lambda: health_of(name) == "healthy", "healthy")
        body = json.dumps({**LONG, "stream": True}).encode()
        with urllib.request.urlopen(request_of(f"{url}/v1/completions", body)) as stream:
            stream.readline()
            began = time.monotonic()
            stopping = subprocess.Popen(
                [DOCKER, "stop", "--time", str(DRAIN_SECONDS + 10), name], stdout=subprocess.DEVNULL
            )
            rest = stream.read().decode()
        expect("the last line of a stream that was being read", rest.split()[-1], "[DONE]")
        expect("docker stop", stopping.wait(), 0)
        print(f"stopped after {time.monotonic() - began:.1f} s, in the midst of a stream")
        expect("the exit code", exit_code_of(name), 0)


def check_early_stop(image: str) -> None:
    """A stop before there is a handler must not be lost, nor take the whole grace period."""
    with running(image) as (name, _):
        began = time.monotonic()
        docker("stop", "--time", "20", name)
        seconds = time.monotonic() - began
        check("stopped early", seconds < 5 and exit_code_of(name) in {0, 143})
        print(f"stopped while starting after {seconds:.1f} s, status {exit_code_of(name)}")


def check_flood(image: str) -> None:
    """More bytes at once than the container may have: some are refused, and nobody is killed."""
    with running(image) as (name, url):
        until(lambda: get(f"{url}/ready") == 200, "ready")
        statuses = flood(url)
        expect("its state", docker("inspect", "--format", "{{.State.OOMKilled}}", name), "false")
        check("all were answered", set(statuses) <= {200, 400, 429} and statuses[429] > 0)
        expect("the status after the flood", get(f"{url}/ready"), 200)
    print(f"{FLOOD} bodies of {BODY_BYTES >> 20} MiB at once: {dict(statuses)}")


def flood(url: str) -> Counter[int]:
    """Send them, each from a thread of its own; the statuses of the answers."""
    head = b'{"max_tokens": 1, "prompt": "'
    body = head + b"a" * (BODY_BYTES - len(head) - 2) + b'"}'

    def send(_number: int) -> int:
        try:
            with urllib.request.urlopen(request_of(f"{url}/v1/completions", body)) as answer:
                return int(answer.status)
        except OSError as error:
            return int(getattr(error, "code", 0))

    with ThreadPoolExecutor(FLOOD) as threads:
        return Counter(threads.map(send, range(FLOOD)))


def compare_speed(image: str) -> None:
    """The same work in the container and outside, in turns on one and the same CPU."""
    tercet = ROOT / ".venv/bin/tercet"
    if not tercet.exists() or shutil.which("taskset") is None:
        print("speed: not compared, there is no .venv or no taskset")
        return
    port = free_port()
    line = ["taskset", "--cpu-list", "0", tercet, "serve", "--port", str(port)]
    url_outside = f"http://127.0.0.1:{port}"
    with (
        running(image, "--cpuset-cpus", "0") as (_, url),
        subprocess.Popen(line, stderr=subprocess.DEVNULL) as outside,
    ):
        try:
            for each in (url, url_outside):
                until(lambda each=each: get(f"{each}/ready") == 200, "ready")
            rounds = [(speed_of(url), speed_of(url_outside)) for _ in range(15)]
        finally:
            outside.terminate()
    inside, outside_speed = (statistics.median(speeds) for speeds in zip(*rounds, strict=True))
    print(
        f"tokens/s, medians of 15 rounds: {inside:.0f} in the container with --cpus 1, "
        f"{outside_speed:.0f} outside on one CPU ({inside / outside_speed:.0%})"
    )
    check(f"at least {MIN_SPEED:.0%}", inside >= MIN_SPEED * outside_speed)


def speed_of(url: str) -> float:
    """Tokens a second of one long answer; the first word is in the cache by the second round."""
    began = time.monotonic()
    usage = json.loads(post(f"{url}/v1/completions", LONG))["usage"]
    return usage["completion_tokens"] / (time.monotonic() - began)


@contextlib.contextmanager
def running(image: str, *options: str) -> Iterator[tuple[str, str]]:
    """A hardened container; its name and address."""
    hardened = [*HARDENED, *options, "--publish", "127.0.0.1::8000"]
    name = docker("run", "--detach", *hardened, image)
    try:
        yield name, f"http://{docker('port', name, '8000').splitlines()[0]}"
    except BaseException:
        print(docker("logs", "--tail", "20", name))
        raise
    finally:
        docker("rm", "--force", "--volumes", name)


def health_of(name: str) -> str:
    """What its health check found."""
    return docker("inspect", "--format", "{{.State.Health.Status}}", name)


def exit_code_of(name: str) -> int:
    """How it ended."""
    return int(docker("inspect", "--format", "{{.State.ExitCode}}", name))


def get(url: str) -> int:
    """The status; 0: nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except OSError as error:
        return int(getattr(error, "code", 0))


def post(url: str, body: object) -> str:
    """The answer's text."""
    with urllib.request.urlopen(request_of(url, json.dumps(body).encode()), timeout=120) as answer:
        return str(answer.read().decode())


def request_of(url: str, body: bytes) -> urllib.request.Request:
    """A POST of JSON."""
    return urllib.request.Request(url, body, {"Content-Type": "application/json"})


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for what is about to happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"not {what} after {seconds:.0f} s")
        time.sleep(0.1)


def expect(what: str, found: object, expected: object) -> None:
    """End with words if they differ."""
    if found != expected:
        sys.exit(f"{what}: {found}, expected {expected}")


def check(what: str, holds: bool) -> None:
    """End with words if it does not hold."""
    if not holds:
        sys.exit(f"not so: {what}")


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
