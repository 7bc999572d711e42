"""A server's threads share two arenas of the C library's allocator."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, threading
from tercet_server.allocator import keep_few_arenas
{before}
barrier = threading.Barrier(9)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def work():
    kept = [libc.malloc(100_000) for _ in range(10)]
    barrier.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
barrier.wait()
libc.fopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")


def num_arenas(before: str, **environment: str) -> int:
    env = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        env={**env, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.count("<heap nr=")


def test_threads_share_two() -> None:
    assert num_arenas("") > 2
    assert num_arenas("keep_few_arenas()") == 2


def test_who_says_how_many_has_as_many() -> None:
    assert num_arenas("keep_few_arenas()", MALLOC_ARENA_MAX="5") == 5
