"""Who may import whom: the engine knows no server, and few modules speak to C++."""

import ast
from collections.abc import Iterator
from pathlib import Path

ENGINE = Path(__file__).parents[2] / "engine" / "tercet_engine"


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers_of(prefix: str) -> set[str]:
    return {
        path.name
        for path in ENGINE.rglob("*.py")
        for name in imports_of(path)
        if name == prefix or name.startswith(f"{prefix}.")
    }


def test_the_engine_never_imports_the_server() -> None:
    assert importers_of("tercet_server") == set()


def test_only_the_loader_the_runner_and_the_converter_speak_to_cpp() -> None:
    assert importers_of("tercet_engine._core") == {
        "core_words.py",
        "kernel_choice.py",
        "machine.py",
        "model_loader.py",
        "model_runner.py",
        "fill.py",
        "weights.py",
    }


def test_nothing_below_the_async_engine_knows_asyncio() -> None:
    assert importers_of("asyncio") == {
        "async_engine.py",
        "completion_stream.py",
        "grammar_compiler.py",
    }
