"""The program of the process in which grammars are tried: it compiles what it reads, and says so.

Run as a file, it imports llguidance and nothing of ours, so that it starts in a tenth of a second.
Whatever a grammar does to it, crash it, fill its memory or never end, ends it and nobody else. It
leaves by itself when it was asked nothing for a while, or when who would ask has ended.

It reads messages: a length of 4 bytes, the least first, and as many bytes. The first is a JSON
object of what it must know, each later one a grammar in llguidance's own form. It answers each with
one line of JSON: what is wrong with it, or null.
"""

import array
import json
import resource
import select
import signal
import sys
import threading
from collections.abc import Iterator
from io import FileIO
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

_IDLE_SECONDS = 60
STACK_BYTES = 4 << 20
"""A schema's references are followed by recursion. Threads that compile for good have more."""


def main() -> int:
    """Try grammars until there are no more; returns the status to end with."""
    messages = _messages()
    known = json.loads(next(messages, b"null"))
    if known is None:
        return 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS reserves hundreds of gigabytes, and refuses the limit
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = min(known["max_bytes"], hard if hard != resource.RLIM_INFINITY else sys.maxsize)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    tokens = LLTokenizer(
        known["tokenizer"], n_vocab=known["vocab_size"], eos_token=known["end_tokens"], slices=[]
    )
    threading.stack_size(STACK_BYTES)
    _say(None)
    for message in messages:
        faults: list[str | None] = []
        arguments = (tokens, known["limits"], message.decode(), faults)
        thread = threading.Thread(target=_try, args=arguments)
        signal.setitimer(signal.ITIMER_PROF, known["max_cpu_seconds"])  # it would end the process
        thread.start()
        thread.join()
        signal.setitimer(signal.ITIMER_PROF, 0)
        if not faults:
            return 1
        _say(faults[0])
    return 0


def _say(fault: str | None) -> None:
    sys.stdout.write(json.dumps(fault) + "\n")
    sys.stdout.flush()


def _try(
    tokens: LLTokenizer, limits: dict[str, Any], grammar: str, faults: list[str | None]
) -> None:
    """Compile a grammar and take its first two steps, as each of its completions would."""
    matcher = LLMatcher(tokens, grammar, log_level=0, limits=LLParserLimits(**limits))
    fault = matcher.get_error() if matcher.is_error() else None
    for _ in range(0 if fault else 2):
        mask = array.array("I", bytes(-(-tokens.vocab_size // 32) * 4))
        matcher.unsafe_compute_mask_ptr(mask.buffer_info()[0], len(mask) * mask.itemsize)
        word = next((index for index, bits in enumerate(mask) if bits), None)
        if word is None or matcher.is_error():
            break  # for the model's own tokens to say
        matcher.consume_token(word * 32 + (mask[word] & -mask[word]).bit_length() - 1)
    faults.append(fault)


def _messages() -> Iterator[bytes]:
    source = FileIO(0, closefd=False)  # unbuffered: what poll says is so
    readable = select.poll()
    readable.register(source)
    while readable.poll(_IDLE_SECONDS * 1000):
        head = _exactly(source, 4)
        if len(head) < 4:
            return
        yield _exactly(source, int.from_bytes(head, "little"))


def _exactly(source: FileIO, size: int) -> bytes:
    """As many bytes, or fewer at the end."""
    content = b""
    while len(content) < size and (piece := source.read(size - len(content))):
        content += piece
    return content


if __name__ == "__main__":
    sys.exit(main())
