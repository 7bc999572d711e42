"""Runs Python tests over the extension built with sanitizers: a wrong byte or a race ends the run.

    python -m tests.sanitizers.run asan|tsan [PYTEST ARGUMENTS]

The interpreter is not instrumented, so the sanitizer is preloaded, and so is the C++ library, whose
exceptions it wraps. Python takes its memory from malloc, so that what is read beyond an array is
found. Of what is never given back, only what our code took counts: CPython and other extensions
keep much until the process ends.

CPython's lock is a mutex that ThreadSanitizer sees, so what Python orders is ordered for it too.
Code that orders itself by other means (Rust's) is named in `tsan.supp`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.another_copy import ROOT, copy_packages

HERE: Final = Path(__file__).parent
_OUR_FRAME: Final = re.compile(r"/cpp/(src|bindings|include)/|/_core\.[^/]*\.so")
_ONCE: Final = "PyInit__core"
"""Below it everything is made once, and kept for as long as the process lives."""
_ALWAYS: Final = (
    *("-m", "not slow", "-o", "timeout=900"),
    # What was freed is kept for a while, to notice who still uses it.
    "--deselect=tests/model/test_memory_use.py::test_models_and_caches_give_their_memory_back",
)
_OVERFLOW: Final = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
ctypes.memset(libc.malloc(64), 0, 65)
"""
_RACE: Final = """
import ctypes, threading
buffer = ctypes.create_string_buffer(1 << 28)
threads = [threading.Thread(target=ctypes.memset, args=(buffer, 0, 1 << 28)) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@dataclass(frozen=True)
class Sanitizer:
    """How a process is started under one.

    Attributes:
        library: the runtime that is preloaded.
        options: of the runtime, and of Python.
        fault: a program that it must stop; else nothing that passes would mean anything.
        tests: what is run if nothing else is asked for.
    """

    library: str
    options: Mapping[str, str]
    fault: str
    tests: tuple[str, ...]


SANITIZERS: Final = {
    "asan": Sanitizer(
        "libasan.so",
        {
            "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1:detect_stack_use_after_return=1",
            "LSAN_OPTIONS": "exitcode=0:report_objects=0:max_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
            "PYTHONMALLOC": "malloc",
        },
        _OVERFLOW,
        (
            *("tests/model", "tests/engine"),
            # In a process that is to die of it, the runtime sees the signal first.
            "--deselect=tests/model/test_kernel_trial.py::test_instructions_that_kill_end_the_trial_alone",
            # What must take under ten seconds takes longer.
            "--deselect=tests/engine/test_grammar_bounds.py::test_what_fails_at_its_first_token_is_refused_before_it",
        ),
    ),
    "tsan": Sanitizer(
        "libtsan.so",
        {
            "TSAN_OPTIONS": f"suppressions={HERE / 'tsan.supp'}:halt_on_error=1:history_size=4",
            "OPENBLAS_NUM_THREADS": "1",  # NumPy's threads order themselves by what is not seen
        },
        _RACE,
        (
            "tests/engine/test_async_engine.py",
            *("tests/model/test_containers.py", "tests/model/test_sampling.py"),
            *("tests/model/test_screening.py", "tests/model/test_loading_together.py"),
            "tests/model/test_same_answer.py",
            # Thousands of steps of threads that spin: hours, where a core is shared.
            "--deselect=tests/model/test_same_answer.py::test_every_answer_in_a_mix_is_the_one_given_alone",
        ),
    ),
}


def environment(sanitizer: Sanitizer, report: Path) -> dict[str, str]:
    """What the process is given; reports go to files whose names begin with `report`."""
    libraries = [_library(name) for name in (sanitizer.library, "libstdc++.so.6")]
    given = {**os.environ, **sanitizer.options, "LD_PRELOAD": " ".join(libraries)}
    for name in ("ASAN_OPTIONS", "TSAN_OPTIONS"):
        if name in given:
            given[name] += f":log_path={report}"
    return given


def our_leaks(report: str) -> list[str]:
    """The leaks of a report that our code made."""
    blocks = [block for block in report.split("\n\n") if "leak of" in block]
    return [block for block in blocks if _OUR_FRAME.search(block) and _ONCE not in block]


def main() -> int:
    """Run the tests; 0 if they pass and nothing was found."""
    name, *arguments = sys.argv[1:]
    sanitizer = SANITIZERS[name]
    (extension,) = (ROOT / "build" / f"{name}-python").glob("_core*.so")
    with tempfile.TemporaryDirectory() as scratch:
        folder, report = Path(scratch) / "packages", Path(scratch) / "report"
        copy_packages(folder, extension)
        _check_that_it_works(sanitizer, Path(scratch) / "control")
        what = (*_ALWAYS, *(arguments or sanitizer.tests))
        command = [sys.executable, "-m", "tests.another_copy", str(folder), *what]
        done = subprocess.run(command, cwd=ROOT, env=environment(sanitizer, report), check=False)
        reports = [path.read_text(errors="replace") for path in Path(scratch).glob("report.*")]
    leaks = [leak for text in reports for leak in our_leaks(text)]
    faults = [text for text in reports if "LeakSanitizer" not in text] if done.returncode else []
    for text in (*faults, *leaks):
        sys.stdout.write(text + "\n")
    sys.stdout.write(f"{name}: tests ended with {done.returncode}; {len(leaks)} leaks of ours\n")
    return 1 if done.returncode or leaks else 0


def _check_that_it_works(sanitizer: Sanitizer, report: Path) -> None:
    command = [sys.executable, "-c", sanitizer.fault]
    done = subprocess.run(command, env=environment(sanitizer, report), check=False)
    assert done.returncode, f"{sanitizer.library} does not notice a fault"


def _library(name: str) -> str:
    compiler = shutil.which(os.environ.get("CXX", "c++")) or "c++"
    found = subprocess.run(
        [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return str(Path(found.stdout.strip()).resolve())


if __name__ == "__main__":
    sys.exit(main())
