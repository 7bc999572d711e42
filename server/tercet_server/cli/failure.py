"""What went wrong, as one sentence for whoever typed the command, and as an exit code.

The sentence says what was found and what to do next. Expected errors say so themselves; what is
not expected is named by its type, with the way to see its traceback.
"""

import errno
import re
from dataclasses import dataclass
from typing import Final

USAGE: Final = 2
"""Exit code where another command line would have worked."""
FAILURE: Final = 1
"""Exit code where the command line was right and the work failed."""


_FLAGS: Final = {
    "max_context": "--context",
    "num_threads": "--threads",
    "max_batch_tokens": "--batch-tokens",
    "max_sequences": "--max-sequences",
    "max_waiting_requests": "--max-waiting-requests",
    "max_waiting_tokens": "--max-waiting-tokens",
    "kv_cache_bytes": "--kv-cache-bytes",
}
"""The engine names its settings in its messages; these are the flags that they are given by."""
_ENGINE_NAMES: Final = re.compile(rf"\b({'|'.join(_FLAGS)})\b")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a command ends when it cannot do what it was asked."""

    sentence: str
    exit_code: int


class CommandError(Exception):
    """A command gives up. The message is the sentence to show."""

    def __init__(self, sentence: str, exit_code: int = FAILURE) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class UsageError(CommandError):
    """The command line, or a variable of the environment, asks for what is not possible."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, USAGE)


def explain(error: Exception) -> Failure:
    """Put an exception into words."""
    if isinstance(error, CommandError):
        return Failure(_one_line(error), error.exit_code)
    usage = _explain_usage(error)
    return usage or _explain_engine(error) or _explain_system(error) or _unexpected(error)


def cannot_listen(error: OSError, host: str, port: int) -> CommandError:
    """Say why the server got no address to listen on."""
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return CommandError(
            f"port {port} of {host} is in use; stop what uses it, or choose another with --port "
            "(0 takes any free one)"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return CommandError(
            f"{where} may not be listened on without more rights; choose a port from 1024 on "
            "with --port"
        )
    if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}:
        return CommandError(
            f"{where} cannot be listened on: the system gives no more ({error.strerror}); raise "
            "its limits, such as that of open files (ulimit -n)"
        )
    return UsageError(
        f"{where} is no address of this host ({error.strerror or error}); give one with --host, "
        "127.0.0.1 for this host only or 0.0.0.0 for all networks"
    )


def _explain_usage(error: Exception) -> Failure | None:
    """What the parser of the command line refuses; it knows which command's help would tell."""
    say = getattr(error, "format_message", None)
    if say is None:
        return None
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "tercet")
    sentence = _one_line(Exception(say())).rstrip(".")
    if not sentence:  # the help has been printed instead
        return Failure("", USAGE)
    return Failure(f"{_lower(sentence)}; see `{command} --help`", USAGE)


def _explain_engine(error: Exception) -> Failure | None:
    from tercet_engine import (  # noqa: PLC0415 -- slow to import, and --help does not need it
        EngineError,
        InvalidConfig,
        KernelUnavailable,
        ModelNotFound,
    )

    if not isinstance(error, EngineError):
        return None
    is_usage = isinstance(error, InvalidConfig | KernelUnavailable | ModelNotFound)
    sentence = _ENGINE_NAMES.sub(lambda match: _FLAGS[match[0]], _one_line(error))
    return Failure(sentence, USAGE if is_usage else FAILURE)


def _explain_system(error: Exception) -> Failure | None:
    from tercet_server.settings import InvalidSettings  # noqa: PLC0415 -- the same

    match error:
        case MemoryError():
            sentence = "this host has not enough free memory; choose a smaller --context or model"
        case RuntimeError() if "start new thread" in str(error):  # Python's words for it
            sentence = (
                "the system gives this process no more threads or memory; raise its limits "
                "(ulimit -u and -v, a container's memory and pids)"
            )
        case OSError(errno=errno.ENOSPC):
            sentence = "the disk is full; free some space, or let HF_HOME name a larger disk"
        case OSError(errno=errno.EMFILE | errno.ENFILE, strerror=str() as reason):
            sentence = f"{_lower(reason)}; raise the limit of open files (ulimit -n)"
        case OSError(strerror=str() as reason, filename=str() as name):
            sentence = f"{name}: {_lower(reason)}"
        case OSError(strerror=str() as reason):
            sentence = f"the system reports: {_lower(reason)}"
        case InvalidSettings():
            return Failure(_one_line(error), USAGE)
        case ImportError(name="tercet_engine._core"):
            sentence = "the compiled part of Tercet is missing; install it with `pip install .`"
        case _:
            return None
    return Failure(sentence, FAILURE)


def _unexpected(error: Exception) -> Failure:
    reason = _one_line(error) or "no reason given"
    sentence = (
        f"unexpected {type(error).__name__}: {reason} (a bug; TERCET_DEBUG=1 shows the traceback)"
    )
    return Failure(sentence, FAILURE)


def _lower(sentence: str) -> str:
    return f"{sentence[:1].lower()}{sentence[1:]}"


def _one_line(error: Exception) -> str:
    """The message in a line for a terminal: what a file or a flag says must not move the cursor."""
    line = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
