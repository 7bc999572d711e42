"""`make test-schemathesis`: the tool of that name, against a server of its own over the toy engine.

What events of streams hold is left to `tests/server/test_reference.py`: the document describes the
JSON of an event's data, and the tool looks for a description of the event around it.
"""

import asyncio
import subprocess
import sys
from typing import Final

from tests.oracle.toy_engine import make_toy_engine
from tests.server.conftest import listening

CHECKS: Final = "not_a_server_error,status_code_conformance,content_type_conformance"
OPTIONS: Final = (
    *("--phases", "examples,fuzzing", "--max-examples", "10", "--no-color"),
    *("--checks", CHECKS, "--request-timeout", "60", "--wait-for-schema", "60"),
    *("--continue-on-failure", "--generation-deterministic", "--suppress-health-check", "all"),
)


async def _main(program: str, more: list[str]) -> int:
    engine = make_toy_engine(max_context=2048, num_blocks=600)
    try:
        async with listening(engine, max_output_tokens=32) as live:
            command = [program, "run", f"{live.url}/openapi.json", *OPTIONS, *more]
            return (await asyncio.to_thread(subprocess.run, command, check=False)).returncode
    finally:
        engine.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(sys.argv[1], sys.argv[2:])))
