"""What no module of the product may do: run what it is given, or open what a client names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([*(ROOT / "engine").rglob("*.py"), *(ROOT / "server").rglob("*.py")])
BANNED_MODULES = {
    *("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "yaml", "torch"),
    *("subprocess", "ctypes", "cffi", "xmlrpc", "ftplib", "telnetlib", "tempfile", "imp"),
    *("runpy", "code", "codeop", "zipfile", "tarfile", "xml", "webbrowser", "transformers"),
}
BANNED_CALLS = {
    *("eval", "exec", "compile", "__import__", "input", "breakpoint"),
    *("os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv", "os.fork"),
    *("numpy.load", "np.load", "numpy.fromfile", "np.fromfile", "importlib.import_module"),
}
ALLOWED = {
    ("kernel_trial.py", "subprocess"),  # kernels that a CPU may not run; the words are ours
    ("bandwidth.py", "subprocess"),  # `tercet doctor`, the same
    ("grammar_trial.py", "subprocess"),  # a program of ours; a grammar reaches only its input
    ("macos.py", "subprocess"),  # `sysctl` and `vm_stat` by their paths; the words are ours
    ("swap.py", "ctypes"),  # one call of the C library, which Python does not have
    ("allocator.py", "ctypes"),  # the same
    ("chat.py", "input"),  # `tercet chat`, which reads a line from whoever sits there
}
OPENS_FILES = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "unlink", "mkdir"}
ROOMS_THAT_CLIENTS_REACH = ("routes", "services", "middleware", "protocol", "reference")


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def uses(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (("module", alias.name.partition(".")[0]) for alias in names)
            case ast.ImportFrom(module=str() as module, level=0):
                yield "module", module.partition(".")[0]
            case ast.Call(func=func, keywords=keywords):
                yield "call", name_of(func)
                yield from (("argument", word.arg or "") for word in keywords)


def banned_in(source: str) -> set[str]:
    found = set()
    for kind, name in uses(ast.parse(source)):
        is_banned = {
            "module": name in BANNED_MODULES,
            "call": name in BANNED_CALLS,
            "argument": name in {"trust_remote_code", "allow_pickle"},
        }[kind]
        if is_banned:
            found.add(name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_what_it_is_given(path: Path) -> None:
    found = banned_in(path.read_text())
    assert {name for name in found if (path.name, name) not in ALLOWED} == set()


def test_what_a_client_reaches_opens_no_file() -> None:
    reached = [path for path in MODULES if set(path.parts) & set(ROOMS_THAT_CLIENTS_REACH)]
    assert len(reached) > 60
    opening = {
        path.name
        for path in reached
        for kind, name in uses(ast.parse(path.read_text()))
        if kind == "call" and name.rpartition(".")[2] in OPENS_FILES
    }
    assert opening == {"store.py"}  # the file that the operator names
    importing = {
        path.name
        for path in reached
        for kind, name in uses(ast.parse(path.read_text()))
        if kind == "module" and name in {"pathlib", "os", "shutil", "glob", "io"}
    }
    assert importing <= {"store.py"}


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from torch import load", "import yaml.loader", "eval('1')"),
        *("x.f(trust_remote_code=True)", "np.load('a')", "os.system('a')", "import subprocess"),
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert banned_in(source)
