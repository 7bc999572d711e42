"""Where log lines go and what they look like: one event a line, for people or for machines.

Everything goes to standard error. Libraries which use `logging` (uvicorn, the engine) come out in
the same form. In a line for people control characters are written out, so that nothing a client
sends can begin a line of its own, move the cursor or colour the screen; JSON escapes them anyway.
A traceback takes several lines: each is indented, so that none looks like an event. It tells the
stack and the type of an exception and not its message, which may quote what a client sent.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from tercet_server.seldom import Seldom
from tercet_server.settings import Settings
from tercet_server.steady_stream import SteadyStream
from tercet_server.tracebacks import stack_of

Logger = FilteringBoundLogger


def make_logger(settings: Settings, output: TextIO | None = None) -> Logger:
    """A logger of its own, not registered anywhere.

    Args:
        settings: say how much is logged, and in which form.
        output: where to write; None: standard error.
    """
    stream = SteadyStream(output or sys.stderr)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logger: Logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),  # type: ignore[arg-type] # which needs no more of it
        processors=[*_common(), *_rendering(settings, stream)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    return logger


def route_logging(settings: Settings, output: TextIO | None = None) -> None:
    """Send the records of the standard `logging` module the same way, for the whole process."""
    stream = SteadyStream(output or sys.stderr)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _first_line, *_common()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(settings, stream),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for chatty in ("uvicorn.error", "httpx", "sse_starlette"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").filters[:] = [Seldom()]


def _common() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _rendering(settings: Settings, stream: SteadyStream) -> list[Any]:
    if settings.log_format == "json":
        return [
            structlog.processors.ExceptionRenderer(stack_of),
            structlog.processors.JSONRenderer(),
        ]
    return [
        _without_control_characters,
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=_indented_traceback
        ),
    ]


def _first_line(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """What asyncio says of a task that failed; below it come its objects, messages and all."""
    if event.get("logger") == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _without_control_characters(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {key: value if key == "exc_info" else _printable(value) for key, value in event.items()}


def _printable(value: Any) -> Any:
    """A text, or a list of them, as it may stand in a line."""
    match value:
        case str():
            return "".join(_written_out(char) for char in value)
        case list() | tuple():
            return [_printable(part) for part in value]
    return value


def _written_out(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")


def _indented_traceback(output: TextIO, info: Any) -> None:
    lines = stack_of(info).splitlines()
    output.writelines(f"\n    {_printable(line.expandtabs())}" for line in lines)
