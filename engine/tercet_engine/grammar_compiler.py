"""Compiles grammars on threads of its own, so that nobody else's answer waits for them.

Compiling takes from microseconds to a fraction of a second, twice: first in a process that may be
stopped, then here. Those that need more than half a second, some of which are meant to, go on in a
lane of their own and hold up each other. What was compiled is kept, and so are the reasons why
something was refused. Text, time, memory and each step's work have bounds.
"""

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from tercet_engine.errors import InvalidGrammar, WaitedTooLong
from tercet_engine.grammar import Grammar, GrammarSpec
from tercet_engine.grammar_bounds import LIMITS
from tercet_engine.grammar_maker import GrammarMaker
from tercet_engine.grammar_trial import MAX_CPU_SECONDS, GrammarTrial, TrialTooLong
from tercet_engine.tokenizer import Tokenizer

MAX_GRAMMAR_BYTES: Final = 256 * 1024
"""Of a schema's or grammar's text."""
MAX_CACHED_GRAMMARS: Final = 128
MAX_COMPILE_SECONDS: Final = 10.0
"""In one lane, waiting for earlier ones included."""
QUICK_CPU_SECONDS: Final = 0.5
_STACK_BYTES: Final = 8 << 20
"""Of threads begun from then on: twice what a trial has, whatever `ulimit -s` says."""


class _Lane:
    """Where one grammar after the other is compiled.

    Attributes:
        trial: where each is tried first.
        worker: a thread.
    """

    def __init__(self, name: str, trial: GrammarTrial) -> None:
        self.trial = trial
        self.worker = ThreadPoolExecutor(1, thread_name_prefix=name)


class GrammarCompiler:
    """Compiles grammars for one model's tokens.

    Args:
        tokenizer: the model's.
        vocab_size: of the model; at least the tokenizer's.
        end_tokens: with which the model ends an answer; at least one.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, end_tokens: Iterable[int]) -> None:
        if threading.stack_size() < _STACK_BYTES:
            threading.stack_size(_STACK_BYTES)
        self._end_tokens = frozenset(end_tokens)
        trial = partial(GrammarTrial, tokenizer.added_tokens, vocab_size, LIMITS)
        self._quick = _Lane("tercet-grammar", trial(QUICK_CPU_SECONDS))
        self._slow = _Lane("tercet-grammar-2", trial(MAX_CPU_SECONDS))
        self._renewer = ThreadPoolExecutor(1, thread_name_prefix="tercet-renewal")
        self._maker = GrammarMaker(tokenizer, vocab_size, self._end_tokens, self._renewer)
        self._cache: OrderedDict[bytes, Grammar | str] = OrderedDict()
        """Grammars, or why they were refused."""
        self._cache_lock = threading.Lock()

    async def compile(
        self, spec: GrammarSpec, *, keep: bool = True, may_take_long: bool = True
    ) -> Grammar:
        """Compile a grammar, or find it compiled.

        Args:
            spec: the grammar.
            keep: what came of it, for the next who asks.
            may_take_long: else it is refused where it needs more than `QUICK_CPU_SECONDS`.

        Raises:
            InvalidGrammar: it is wrong, too large, or asks for what cannot be enforced.
            WaitedTooLong: others' grammars took all the time that it may wait.
        """
        if (size := len(spec.text.encode("utf-8", "replace"))) > MAX_GRAMMAR_BYTES:
            message = f"is {size} bytes long; at most {MAX_GRAMMAR_BYTES} are taken"
            raise InvalidGrammar(spec.param, message)
        if not self._end_tokens:
            message = "cannot be enforced: this model has no token that ends an answer"
            raise InvalidGrammar(spec.param, message)
        key = hashlib.blake2b(f"{spec.kind}\0{spec.text}".encode("utf-8", "replace")).digest()
        if (known := self._cache.get(key)) is not None:
            return self._sound(key, known, spec)
        kept = key if keep else None
        try:
            return await self._in_lane(self._quick, spec, kept)
        except TrialTooLong as error:
            if not may_take_long:
                raise _refused(spec, error) from None
        try:
            return await self._in_lane(self._slow, spec, kept)
        except TrialTooLong as error:
            refusal = _refused(spec, error)
            self._keep(kept, refusal.reason)
            raise refusal from None

    def compile_here(self, spec: GrammarSpec) -> Grammar:
        """Compile a grammar on this thread.

        Raises:
            InvalidGrammar: it is wrong, or asks for what cannot be enforced.
        """
        try:
            return self._maker.make(spec, self._slow.trial)
        except TrialTooLong as error:
            raise _refused(spec, error) from None

    def close(self) -> None:
        """Compile no more."""
        for threads in (self._quick.worker, self._slow.worker, self._renewer):
            threads.shutdown(wait=False, cancel_futures=True)
        for lane in (self._quick, self._slow):
            lane.trial.close()

    async def _in_lane(self, lane: _Lane, spec: GrammarSpec, kept: bytes | None) -> Grammar:
        has_begun = False

        def work() -> Grammar:
            nonlocal has_begun
            has_begun = True
            if kept and (known := self._cache.get(kept)) is not None:
                return self._sound(kept, known, spec)  # who was before us asked for the same
            try:
                made = self._maker.make(spec, lane.trial)
            except InvalidGrammar as error:
                if error.is_lasting:
                    self._keep(kept, error.reason)
                raise
            self._keep(kept, made)
            return made

        running = asyncio.get_running_loop().run_in_executor(lane.worker, work)
        try:
            return await asyncio.wait_for(running, MAX_COMPILE_SECONDS)
        except TimeoutError:
            if not has_begun:
                raise WaitedTooLong(MAX_COMPILE_SECONDS, MAX_COMPILE_SECONDS) from None
            message = f"took longer than {MAX_COMPILE_SECONDS:.0f} s to compile; simplify it"
            raise InvalidGrammar(spec.param, message, is_lasting=False) from None

    def _sound(self, key: bytes, known: Grammar | str, spec: GrammarSpec) -> Grammar:
        self._keep(key, known)
        if isinstance(known, str):
            raise InvalidGrammar(spec.param, known)
        return known

    def _keep(self, key: bytes | None, known: Grammar | str) -> None:
        """From any thread."""
        if key is None:
            return
        with self._cache_lock:
            self._cache[key] = known
            self._cache.move_to_end(key)
            while len(self._cache) > MAX_CACHED_GRAMMARS:
                self._cache.popitem(last=False)


def _refused(spec: GrammarSpec, error: TrialTooLong) -> InvalidGrammar:
    return InvalidGrammar(spec.param, f"cannot be enforced: {error}")
