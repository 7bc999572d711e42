"""Compiles grammars on threads of its own, so that nobody else's answer waits for them.

Compiling takes from microseconds to a fraction of a second, twice: first in a process that may be
stopped, then here. Those that need more than a fifth of a second go on in a lane of their own and
hold up each other. What was compiled is kept, and so are the reasons why something was refused.
Text, time, memory and each step's work have bounds.
"""

import asyncio
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Generic, TypeVar

from tercet_engine.errors import InvalidGrammar, Refusal, WaitedTooLong
from tercet_engine.grammar import Grammar, GrammarSpec
from tercet_engine.grammar_bounds import LIMITS
from tercet_engine.grammar_maker import GrammarMaker
from tercet_engine.grammar_renewer import Renewer
from tercet_engine.grammar_trial import MAX_CPU_SECONDS, GrammarTrial, TrialTooLong
from tercet_engine.tokenizer import Tokenizer

T = TypeVar("T")

MAX_GRAMMAR_BYTES: Final = 256 * 1024
"""Of a schema's or grammar's text."""
MAX_CACHED_GRAMMARS: Final = 32
"""Each some kB, and what its completions find out: 10 to 30 MB at most."""
_MAX_CACHED_REFUSALS: Final = 1024
MAX_COMPILE_SECONDS: Final = 10.0
"""In one lane, waiting for earlier ones included."""
QUICK_CPU_SECONDS: Final = 0.2
"""For which others wait at most, by each that turns out to need more."""
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

    Attributes:
        num_given_up: requests whose time was over before anybody came to their grammar.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, end_tokens: Iterable[int]) -> None:
        if threading.stack_size() < _STACK_BYTES:
            threading.stack_size(_STACK_BYTES)
        self._end_tokens = frozenset(end_tokens)
        trial = partial(GrammarTrial, tokenizer.added_tokens, vocab_size, LIMITS)
        self._quick = _Lane("tercet-grammar", trial(QUICK_CPU_SECONDS))
        self._slow = _Lane("tercet-grammar-2", trial(MAX_CPU_SECONDS))
        self._renewer = Renewer()
        self._maker = GrammarMaker(tokenizer, vocab_size, self._end_tokens, self._renewer)
        self._grammars: _Kept[Grammar] = _Kept(MAX_CACHED_GRAMMARS)
        self._refusals: _Kept[Refusal] = _Kept(_MAX_CACHED_REFUSALS)
        self._slow_keys: _Kept[bool] = _Kept(_MAX_CACHED_REFUSALS)
        self.num_given_up = 0

    async def compile(
        self, spec: GrammarSpec, *, keep: bool = True, may_take_long: bool = True
    ) -> Grammar:
        """Compile a grammar, or find it compiled.

        Args:
            spec: the grammar.
            keep: for the next who asks. Refusals are kept whatever this says.
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
        text = f"{spec.kind}\0{spec.text}".encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(text).digest()
        if (known := self._known(key, spec)) is not None:
            return known
        if not self._slow_keys.find(key):
            try:
                return await self._in_lane(self._quick, key, spec, keep=keep)
            except TrialTooLong as error:
                if not may_take_long:
                    refusal = Refusal(f"cannot be enforced: {error}", is_lasting=False)
                    raise InvalidGrammar(spec.param, refusal) from None
        try:
            return await self._in_lane(self._slow, key, spec, keep=keep)
        except TrialTooLong as error:
            refusal = Refusal(f"cannot be enforced: {error}")
            self._refusals.keep(key, refusal)
            raise InvalidGrammar(spec.param, refusal) from None

    def compile_here(self, spec: GrammarSpec) -> Grammar:
        """Compile a grammar on this thread.

        Raises:
            InvalidGrammar: it is wrong, or asks for what cannot be enforced.
        """
        try:
            return self._maker.make(spec, self._slow.trial)
        except TrialTooLong as error:
            raise InvalidGrammar(spec.param, f"cannot be enforced: {error}") from None

    def close(self) -> None:
        """Compile no more."""
        self._renewer.close()
        for lane in (self._quick, self._slow):
            lane.worker.shutdown(wait=False, cancel_futures=True)
            lane.trial.close()

    def _known(self, key: bytes, spec: GrammarSpec) -> Grammar | None:
        if refusal := self._refusals.find(key):
            raise InvalidGrammar(spec.param, refusal)
        return self._grammars.find(key)

    async def _in_lane(self, lane: _Lane, key: bytes, spec: GrammarSpec, *, keep: bool) -> Grammar:
        begun_at = 0.0

        def work() -> Grammar:
            nonlocal begun_at
            begun_at = time.monotonic()
            if (known := self._known(key, spec)) is not None:
                return known  # who was before us asked for the same
            if lane is self._quick and self._slow_keys.find(key):
                raise TrialTooLong
            return self._made(lane, key, spec, keep=keep)

        running = asyncio.get_running_loop().run_in_executor(lane.worker, work)
        try:
            return await asyncio.wait_for(running, MAX_COMPILE_SECONDS)
        except TimeoutError:
            if not begun_at or time.monotonic() - begun_at < MAX_COMPILE_SECONDS / 2:
                self.num_given_up += 1
                raise WaitedTooLong(MAX_COMPILE_SECONDS, MAX_COMPILE_SECONDS) from None
            reason = f"took longer than {MAX_COMPILE_SECONDS:.0f} s to compile; simplify it"
            raise InvalidGrammar(spec.param, Refusal(reason, is_lasting=False)) from None

    def _made(self, lane: _Lane, key: bytes, spec: GrammarSpec, *, keep: bool) -> Grammar:
        """On the lane's thread: what came of it is kept, whoever still waits for it."""
        try:
            made = self._maker.make(spec, lane.trial)
        except InvalidGrammar as error:
            if error.refusal.is_lasting:
                self._refusals.keep(key, error.refusal)
            raise
        except TrialTooLong:
            self._slow_keys.keep(key, value=True)
            raise
        if keep:
            self._grammars.keep(key, made)
        return made


class _Kept(Generic[T]):
    """The last few of something, by key; for any thread."""

    def __init__(self, max_count: int) -> None:
        self._kept: OrderedDict[bytes, T] = OrderedDict()
        self._max_count = max_count
        self._lock = threading.Lock()

    def find(self, key: bytes) -> T | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: bytes, value: T) -> None:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self._max_count:
                self._kept.popitem(last=False)
