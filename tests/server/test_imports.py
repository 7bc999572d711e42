"""Who may import whom, read from the source."""

import ast
from pathlib import Path

import tercet_engine
import tercet_server

ENGINE = Path(tercet_engine.__file__).parent
SERVER = Path(tercet_server.__file__).parent
SPEAK_TO_CPP = (
    "core_words.py",
    "kernel_choice.py",
    "machine.py",
    "model_loader.py",
    "model_runner.py",
    "packed/fill.py",
    "packed/weights.py",
)
MAY_IMPORT_CORE = {ENGINE / name for name in SPEAK_TO_CPP}


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, `from a import b` as both a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def importers(room: Path, *modules: str) -> set[Path]:
    """Files of a room that import one of the modules, or something in it."""
    return {
        path
        for path in room.rglob("*.py")
        for name in imports_of(path)
        if any(name == module or name.startswith(f"{module}.") for module in modules)
    }


def test_the_engine_does_not_know_the_server() -> None:
    assert importers(ENGINE, "tercet_server", "fastapi", "starlette", "pydantic") == set()


def test_only_the_runner_the_loader_and_the_converter_speak_to_cpp() -> None:
    assert importers(ENGINE, "tercet_engine._core") <= MAY_IMPORT_CORE
    assert importers(SERVER, "tercet_engine._core") == set()


def test_the_server_knows_only_the_engines_public_names() -> None:
    private = {f"tercet_engine.{path.stem}" for path in ENGINE.glob("[!_]*.py")}
    outside_cli = importers(SERVER, *private) - set((SERVER / "cli").rglob("*.py"))
    assert outside_cli == set()


def test_the_protocol_knows_neither_engine_nor_http() -> None:
    protocol = SERVER / "protocol"
    assert importers(protocol, "tercet_engine", "fastapi", "starlette") == set()
    ours = {name for path in protocol.rglob("*.py") for name in imports_of(path)}
    ours = {name for name in ours if name.startswith("tercet_")}
    assert all(name.startswith("tercet_server.protocol") for name in ours)


def test_services_know_no_http() -> None:
    assert importers(SERVER / "services", "fastapi", "starlette", "sse_starlette") == set()
