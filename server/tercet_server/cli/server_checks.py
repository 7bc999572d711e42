"""Looks at what a server needs beside CPUs and memory: kernels, disk, files, an address."""

import errno
import platform
import resource
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import huggingface_hub.constants

from tercet_engine import measure_bandwidth
from tercet_engine.kernel_choice import cpu_features, kernel_verdicts
from tercet_server.cli.findings import Finding
from tercet_server.cli.host import cpu_name
from tercet_server.cli.units import size, speed
from tercet_server.runner import listen
from tercet_server.version import package_version

_KERNELS: Final = "Kernels"
_SERVER: Final = "Server"
_BYTES_OF_A_MODEL: Final = 3e9
_BYTES_OF_A_TOKEN: Final = 0.58e9
"""That BitNet 2B4T reads to compute one: weights of 1.6 bits, and half of the head."""
_WANTED_FILES: Final = 4 * 512 + 256


def examine_versions() -> Iterator[Finding]:
    """What runs here."""
    yield Finding("Versions", "tercet", package_version(), package_version())
    python = platform.python_version()
    yield Finding("Versions", "Python", python, python)
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield Finding("Versions", "system", system, system)


def examine_kernels(
    verdicts: Callable[[], Mapping[str, str | None]] = kernel_verdicts,
) -> Iterator[Finding]:
    """The CPU's instructions, and each kernel set that uses them, beside the reference."""
    yield Finding(_KERNELS, "CPU", cpu_name(), cpu_name())
    features = cpu_features()
    yield Finding(_KERNELS, "instructions", ", ".join(features) or "none known", features)
    found = verdicts()
    chosen = next((name for name, problem in found.items() if problem is None), None)
    for name, problem in found.items():
        passed = "passes its self-test" + (", is chosen" if name == chosen else "")
        yield Finding(
            _KERNELS,
            name,
            passed if problem is None else f"fails its self-test: {problem}",
            {"passed": problem is None, "chosen": name == chosen},
            None
            if problem is None
            else f"kernels {name} compute something else than the reference here: report it, and "
            f"serve with `--kernels {chosen or 'reference'}`",
            is_failure=problem is not None and chosen is None,
        )
    if next(iter(found), None) == "reference":
        yield Finding(
            _KERNELS,
            "speed",
            "scalar code",
            None,
            "no kernel set knows this CPU's instructions, so it computes slowly: x86-64 with "
            "AVX2 or AVX-512 VNNI is 10 and more times as fast",
        )


def examine_bandwidth(num_threads: int) -> Iterator[Finding]:
    """How fast memory is read, which bounds how fast tokens come."""
    rate = measure_bandwidth(num_threads)
    most = rate / _BYTES_OF_A_TOKEN
    text = f"{speed(rate)} read by {num_threads} threads: 2B4T at most {most:.0f} tokens/s"
    yield Finding("Memory", "bandwidth", text, rate)


def examine_disk(cache: Path | None = None) -> Iterator[Finding]:
    """Where models from the Hub are kept."""
    cache = cache or Path(huggingface_hub.constants.HF_HUB_CACHE)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    yield Finding(
        _SERVER,
        "cache of models",
        f"{cache}: {size(free)} free",
        {"path": str(cache), "free_bytes": free},
        f"{size(free)} is free under {cache}; BitNet 2B4T takes 1.2 GB, its bf16 masters 5: free "
        "some, or let HF_HOME name a larger disk"
        if free < _BYTES_OF_A_MODEL
        else None,
    )


def examine_files(limit: int | None = None) -> Iterator[Finding]:
    """How many connections there may be."""
    if limit is None:
        _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_enough = limit == resource.RLIM_INFINITY or limit >= _WANTED_FILES
    yield Finding(
        _SERVER,
        "open files",
        "no limit" if limit == resource.RLIM_INFINITY else str(limit),
        limit,
        None if is_enough else f"only {limit} files may be open: raise it, `ulimit -n 65536`",
    )


def examine_address(host: str, port: int) -> Iterator[Finding]:
    """Whether a server could listen there."""
    where = f"{host}:{port}"
    try:
        listen(host, port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = f"{where} is in use: stop what uses it, or choose another with --port"
        elif isinstance(error, socket.gaierror):
            advice = f"{host} is no address of this host: give one with --host"
        else:
            advice = f"{where} cannot be listened on ({error.strerror or error}): choose another"
        yield Finding(
            _SERVER, "address", f"{where} is not free", {"free": False}, advice, is_failure=True
        )
    else:
        yield Finding(_SERVER, "address", f"{where} is free", {"free": True})
