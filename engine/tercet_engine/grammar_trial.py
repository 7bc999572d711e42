"""Tries grammars in a process of their own before anybody compiles them for good.

llguidance follows a schema's references by recursion and intersects patterns by enumeration: a
few hundred bytes can overflow its stack, which would end the server, or keep it busy for hours, and
nothing can stop a compilation that has begun. A process can be stopped. A grammar that does not
come through within time and memory is refused; one that does costs the same once more, here.

The process knows the model's special tokens and the 256 bytes instead of its vocabulary, for what a
grammar costs before its first token depends on neither. It takes some 50 MB, and none where nobody
asks for grammars.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from tokenizers.pre_tokenizers import ByteLevel

MAX_CPU_SECONDS: Final = 5.0
MAX_WALL_SECONDS: Final = 30.0
"""Where others have the processors."""
MAX_BYTES: Final = 512 << 20
_CHILD: Final = Path(__file__).with_name("grammar_child.py")
_GRACE_SECONDS: Final = 0.2
_PIECE_BYTES: Final = 1 << 16
_NUM_BYTES: Final = 256
_ENDED_BY_OTHERS: Final = frozenset({0, signal.SIGINT, signal.SIGKILL, signal.SIGTERM})
"""With which a process ends that was not asked enough, or that the system or somebody ended."""
_CLOSED: Final = "the engine has been closed"
_TOO_MUCH: Final = (
    "its compiler fails on it: too deep a recursion, too much memory or a number out of its range; "
    "simplify it"
)


class TrialFailed(Exception):
    """A grammar did not come through, in words."""


class NoTrial(TrialFailed):
    """There was no process to try it in."""


class TrialTooLong(TrialFailed):
    """It was not over within the processor time that it may take."""


class GrammarTrial:
    """A process that compiles one grammar at a time; begun when it is first needed.

    Args:
        added_tokens: the model's tokens beside its vocabulary, by their texts, and whether they are
            special: a grammar may name them.
        vocab_size: of the model.
        limits: what llguidance is to keep to.
        max_cpu_seconds: that one grammar may take.
    """

    def __init__(
        self,
        added_tokens: Mapping[str, bool],
        vocab_size: int,
        limits: Mapping[str, int | bool],
        max_cpu_seconds: float = MAX_CPU_SECONDS,
    ) -> None:
        known = {
            "tokenizer": json.dumps(_tokenizer_of_bytes(added_tokens)),
            "vocab_size": max(vocab_size, _NUM_BYTES + len(added_tokens)),
            "end_tokens": [_NUM_BYTES if added_tokens else 0],
            "limits": dict(limits),
            "max_cpu_seconds": max_cpu_seconds,
            "max_bytes": MAX_BYTES,
        }
        self._greeting = json.dumps(known)
        self._max_cpu_seconds = max_cpu_seconds
        self._process: _Process | None = None
        self._is_closed = False
        self._at_work = threading.Lock()
        """Held by who asks; only they begin a process, and give up what belongs to it."""

    def run(self, grammar: str) -> None:
        """Compile a grammar at a distance.

        Args:
            grammar: in llguidance's own form.

        Raises:
            NoTrial: it was not tried.
            TrialTooLong: it takes too long.
            TrialFailed: it is wrong, or did not come through within the other bounds.
        """
        with self._at_work:
            answer = self._ask(grammar, by_others=_ENDED_BY_OTHERS)
        if (fault := json.loads(answer)) is not None:
            raise TrialFailed(fault)

    def close(self) -> None:
        """End the process and begin none again, whoever may be waiting for it."""
        self._is_closed = True
        if process := self._process:
            process.kill()
        with self._at_work:
            self._end()

    def _ask(self, grammar: str, by_others: frozenset[int]) -> bytes:
        process = self._begun()
        try:
            answer = process.ask(grammar)
        except BaseException:
            self._end()  # what it still says would be taken for the next answer
            raise
        if answer is not None:
            return answer
        status = self._end()
        if self._is_closed:
            raise NoTrial(_CLOSED)
        if -status in by_others:
            return self._ask(grammar, frozenset())
        if -status in _ENDED_BY_OTHERS:
            message = "the process in which it was tried was ended twice"
            raise NoTrial(message)
        if status == -signal.SIGPROF:
            limit = f"{self._max_cpu_seconds:g} s"
            message = f"it takes longer than {limit} to compile; simplify it"
            raise TrialTooLong(message)
        raise TrialFailed(_TOO_MUCH)

    def _begun(self) -> "_Process":
        if self._is_closed:
            raise NoTrial(_CLOSED)
        if self._process is None:
            try:
                self._process = _Process()
            except OSError as error:
                message = f"no process began: {error.strerror}"
                raise NoTrial(message) from None
            if self._process.ask(self._greeting) is None:
                self._end()
                message = "its process ended before it was ready"
                raise NoTrial(message)
        return self._process

    def _end(self) -> int:
        process, self._process = self._process, None
        return process.end() if process else 0


class _Process:
    """The child. It is ended with this object at the latest."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(  # noqa: S603 -- our own words
            [sys.executable, "-P", str(_CHILD)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is the server's: it drains
        )
        weakref.finalize(self, _forget, self._popen)

    def ask(self, message: str) -> bytes | None:
        """The line it answers a message with; None: it has ended, or should."""
        deadline = time.monotonic() + MAX_WALL_SECONDS
        try:
            self._send(message, deadline)
            return self._read_line(deadline)
        except TimeoutError:
            self._popen.send_signal(signal.SIGPROF)
            return None

    def _send(self, message: str, deadline: float) -> None:
        """Send one message; that it has ended shows in the answer."""
        content = message.encode("utf-8", "replace")
        left = memoryview(len(content).to_bytes(4, "little") + content)
        stream = self._popen.stdin
        assert stream is not None
        os.set_blocking(stream.fileno(), False)  # it may be stopped, and never read
        with suppress(BrokenPipeError):
            while left:
                wait_for(stream, select.POLLOUT, deadline)
                left = left[stream.write(left) or 0 :]

    def _read_line(self, deadline: float) -> bytes | None:
        answer, stream = b"", self._popen.stdout
        assert stream is not None
        while not answer.endswith(b"\n"):
            wait_for(stream, select.POLLIN, deadline)
            if not (piece := stream.read(_PIECE_BYTES)):
                return None
            answer += piece
        return answer

    def kill(self) -> None:
        """End it, from any thread."""
        self._popen.kill()

    def end(self) -> int:
        """End it, if it has not ended by itself; returns its status."""
        return _end(self._popen)


def wait_for(stream: IO[bytes], event: int, deadline: float) -> None:
    """Wait until a pipe can be read or written.

    Raises:
        TimeoutError: not by `deadline`, a time of the monotonic clock.
    """
    poll = select.poll()  # of any number of descriptors
    poll.register(stream, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def _forget(popen: "subprocess.Popen[bytes]") -> None:
    popen.kill()
    _end(popen)


def _end(popen: "subprocess.Popen[bytes]") -> int:
    try:
        popen.wait(_GRACE_SECONDS)  # its output is closed a little before it is gone
    except subprocess.TimeoutExpired:
        popen.kill()
    for stream in (popen.stdin, popen.stdout):
        if stream is not None:
            stream.close()
    return popen.wait()


def _tokenizer_of_bytes(added_tokens: Mapping[str, bool]) -> dict[str, Any]:
    """A `tokenizer.json` of the 256 bytes and what a model has besides."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [
        {"id": _NUM_BYTES + index, "content": text, "special": is_special, **flags}
        for index, (text, is_special) in enumerate(added_tokens.items())
    ]
    chars = sorted(ByteLevel.alphabet())
    form = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {**form, "use_regex": False},
        "decoder": form,
        "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate(chars)}, "merges": []},
    }
