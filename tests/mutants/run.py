"""Are the tests tests? Each mutant is a plausible mistake, and some test must see it.

    python -m tests.mutants.run [PART OF A NAME]

The packages are copied to a temporary folder, one change is made there, and the tests named with it
are run against the copy, never against the working tree. A mutant that survives, or whose source is
no longer found, fails the run. Mutants of the server, of files and of bounds are in modules of
their own; `flips` makes others by rule.
"""

import sys
import tempfile
from pathlib import Path

from tests.another_copy import ROOT, copy_packages
from tests.mutants import bounds, doors, warm
from tests.mutants.mutant import Mutant

SURVIVED = "survived"

POOL = ("test_block_pool", "test_scheduler", "test_scheduler_properties")
SCHEDULER = ("test_scheduler", "test_scheduler_properties")
TEXT = ("test_detokenizer",)
STREAMS = ("test_async_engine",)
LINE = ("test_async_engine", "test_waiting_line")
TEMPLATE = ("test_chat_template",)
ARRAYS = ("test_batch", "test_scheduler_properties")
FILES = ("test_safetensors_file", "test_checkpoint")
GGUF = ("gguf/test_header", "gguf/test_placement")
GGUF_TEXT = ("gguf/test_byte_pairs", "gguf/test_sentence_pieces", "gguf/test_vocabulary")

MUTANTS = (
    Mutant(
        "a block is known by its own tokens only",
        "block_pool",
        "hashlib.blake2b(parent + array",
        "hashlib.blake2b(array",
        POOL,
    ),
    Mutant(
        "prefixes are evicted before their tails",
        "block_pool",
        "for block in reversed(blocks):  # tails",
        "for block in blocks:  # tails",
        POOL,
    ),
    Mutant(
        "the block released last is taken first",
        "block_pool",
        "popitem(last=False)",
        "popitem(last=True)",
        POOL,
    ),
    Mutant(
        "a block taken anew is still found by its old hash",
        "block_pool",
        "            self._forget(block)\n",
        "",
        POOL,
    ),
    Mutant(
        "blocks that hold nothing are kept longest",
        "block_pool",
        "self._free.move_to_end(block, last=False)",
        "self._free.move_to_end(block)",
        POOL,
    ),
    Mutant(
        "a match goes on after an unknown block",
        "block_pool",
        "                break\n            blocks.append",
        "                continue\n            blocks.append",
        POOL,
    ),
    Mutant(
        "a cached block is not taken off the free list",
        "block_pool",
        "                del self._free[block]\n",
        "                pass\n",
        POOL,
    ),
    Mutant(
        "blocks about to be held count as free",
        "block_pool",
        "return len(self._free) - sum(self._ref_counts[block] == 0 for block in blocks)",
        "return len(self._free)",
        POOL,
    ),
    Mutant(
        "a later block with the same content replaces the first",
        "block_pool",
        "        if block_hash not in self._cached:\n",
        "        if True:\n",
        POOL,
    ),
    Mutant(
        "a prompt found whole in the cache computes nothing",
        "scheduler",
        "num_matchable = seq.num_cacheable_tokens //",
        "num_matchable = len(seq.tokens) //",
        SCHEDULER,
    ),
    Mutant(
        "the first admitted is preempted",
        "scheduler",
        "victim = self._running[-1]",
        "victim = self._running[0]",
        SCHEDULER,
    ),
    Mutant(
        "the preempted goes to the end of the line",
        "scheduler",
        "        if seq.num_generated_tokens:\n            seq.turn = seq.priority * _PRIORITY\n",
        "",
        SCHEDULER,
    ),
    Mutant(
        "the preempted keep what they had computed",
        "scheduler",
        '        seq.block_table = array("i")\n        seq.num_computed_tokens = 0\n',
        '        seq.block_table = array("i")\n',
        SCHEDULER,
    ),
    Mutant(
        "the finished keep their blocks",
        "scheduler",
        "            if seq.finish_reason:\n                self._stop(seq)\n",
        "            if seq.finish_reason:\n                self._running.remove(seq)\n",
        SCHEDULER,
    ),
    Mutant(
        "half-full blocks are published",
        "scheduler",
        "            last = seq.num_computed_tokens // self._pool.block_size",
        "            last = self._pool.num_blocks_for(seq.num_computed_tokens)",
        SCHEDULER,
    ),
    Mutant(
        "the budget is not used up by streams",
        "scheduler",
        "StepBudget(self._max_batch_tokens - num_streams, seconds, times)",
        "StepBudget(self._max_batch_tokens, seconds, times)",
        SCHEDULER,
    ),
    Mutant(
        "one sequence too many runs",
        "scheduler",
        "if len(self._running) == self._max_sequences:",
        "if len(self._running) > self._max_sequences:",
        SCHEDULER,
    ),
    Mutant(
        "cached tokens are computed again",
        "scheduler",
        "seq.num_computed_tokens = len(cached) * self._pool.block_size",
        "seq.num_computed_tokens = 0",
        SCHEDULER,
    ),
    Mutant(
        "a token is drawn after every chunk",
        "scheduler",
        "return self.num_tokens == self.seq.num_pending_tokens",
        "return True",
        SCHEDULER,
    ),
    Mutant(
        "an end token counts one token too early",
        "sequence",
        "self.num_generated_tokens > self.params.min_tokens",
        "self.num_generated_tokens >= self.params.min_tokens",
        SCHEDULER,
    ),
    Mutant(
        "prompts are served in order of arrival, whatever their length",
        "scheduler",
        "_PRIORITY + self._num_scheduled + len(seq.tokens)",
        "_PRIORITY + self._num_scheduled",
        SCHEDULER,
    ),
    Mutant(
        "short prompts overtake a long one for ever",
        "scheduler",
        "_PRIORITY + self._num_scheduled + len(seq.tokens)",
        "_PRIORITY + len(seq.tokens)",
        (*SCHEDULER, "test_latency"),
    ),
    Mutant(
        "others are admitted past one who is short of blocks",
        "scheduler",
        "is_full = is_full or not self._admit(seq)",
        "is_full = not self._admit(seq)",
        SCHEDULER,
    ),
    Mutant(
        "one token too many is taken for guessed",
        "scheduler",
        "if token != guess or seq.finish_reason:",
        "if seq.finish_reason:",
        SCHEDULER,
    ),
    Mutant(
        "a sequence goes on after an end token that was guessed",
        "scheduler",
        "if token != guess or seq.finish_reason:",
        "if token != guess:",
        SCHEDULER,
    ),
    Mutant(
        "wrong guesses count as computed",
        "scheduler",
        "                num_computed += num_accepted\n",
        "                num_computed += len(draft)\n",
        SCHEDULER,
    ),
    Mutant(
        "blocks of wrong guesses are kept",
        "scheduler",
        "                self._release_spare_blocks(seq)\n",
        "                pass\n",
        SCHEDULER,
    ),
    Mutant(
        "guesses go past the last block",
        "scheduler",
        "draft[: self._room_ahead(seq, len(draft))]",
        "draft[: self._room_ahead(seq, len(draft)) + 99]",
        SCHEDULER,
    ),
    Mutant(
        "more is guessed than may be generated",
        "speculation",
        "seq.num_tokens_left - 1)",
        "seq.num_tokens_left + 1)",
        SCHEDULER,
    ),
    Mutant(
        "guesses are taken in whatever they cost",
        "speculation",
        "if chance * self._seconds <= cost * self._num_useful:",
        "if not chance:",
        ("test_speculation", "test_scheduler"),
    ),
    Mutant(
        "the first place found is guessed from",
        "drafter",
        "            place = self._earlier[place]\n",
        "            return\n",
        ("test_speculation",),
    ),
    Mutant(
        "wrong guesses are not held against a match",
        "drafter",
        "_LEARNING_RATE * (is_right - self._trust[grade])",
        "_LEARNING_RATE * (1 - self._trust[grade])",
        ("test_speculation",),
    ),
    Mutant(
        "penalties do not see the guesses before them",
        "batch",
        "counts = counts + Counter(row.chunk.draft[: row.num_guesses])",
        "pass",
        ("test_batch",),
    ),
    Mutant(
        "end tokens stay forbidden after guesses",
        "batch",
        "seq.forbidden_tokens(row.num_guesses)",
        "seq.forbidden_tokens()",
        ("test_batch",),
    ),
    Mutant(
        "streams wait for whole chunks of prompts",
        "scheduler",
        "seconds = self._max_step_seconds - times.seconds(self._load)",
        "seconds = None",
        ("test_scheduler", "test_latency"),
    ),
    Mutant(
        "prompts starve beside slow streams",
        "pace",
        "self._min_chunk = MIN_CHUNK",
        "self._min_chunk = 0",
        ("test_scheduler", "test_pace"),
    ),
    Mutant(
        "the drawing position lags by one",
        "batch",
        "position=_int32([len(row.chunk.seq.tokens) + row.num_guesses for",
        "position=_int32([len(row.chunk.seq.tokens) + row.num_guesses - 1 for",
        ARRAYS,
    ),
    Mutant(
        "positions start at zero in every chunk",
        "batch",
        "positions=_int32([chunk.seq.num_computed_tokens for",
        "positions=_int32([0 * chunk.seq.num_computed_tokens for",
        ARRAYS,
    ),
    Mutant(
        "broken characters are let out at once",
        "detokenizer",
        "self._utf8.decode(piece)",
        'piece.decode("utf-8", "replace")',
        TEXT,
    ),
    Mutant(
        "the first bytes of a last character are lost",
        "detokenizer",
        'self._utf8.decode(b"", final=True)',
        'self._utf8.decode(b"")',
        TEXT,
    ),
    Mutant(
        "the beginning of a stop string leaks",
        "detokenizer",
        "num_safe = len(self._held) - self._num_undecided()",
        "num_safe = len(self._held)",
        TEXT,
    ),
    Mutant(
        "what was held back is lost at the end",
        "detokenizer",
        "return text + self._stops.flush()",
        "return text",
        TEXT,
    ),
    Mutant(
        "the first stop string of the list wins",
        "detokenizer",
        "return min(matches)[1:] if matches else None",
        "return matches[0][1:] if matches else None",
        TEXT,
    ),
    Mutant(
        "a stop string across tokens is missed",
        "detokenizer",
        "self._held.find(stop, max(0, num_seen - len(stop) + 1))",
        "self._held.find(stop, num_seen)",
        TEXT,
    ),
    Mutant(
        "the shortest tail is held back instead of the longest",
        "detokenizer",
        "for start in range(max(0, len(self._held) - longest), len(self._held)):",
        "for start in reversed(range(max(0, len(self._held) - longest), len(self._held))):",
        TEXT,
    ),
    Mutant(
        "every leading space is dropped",
        "detokenizer",
        "            self._strip_space = False\n",
        "",
        TEXT,
    ),
    Mutant(
        "the end token's text is shown",
        "completion_stream",
        "is_end = finish_reason is FinishReason.STOP",
        "is_end = False",
        (*STREAMS, "test_detokenizer"),
    ),
    Mutant(
        "the engine computes on after a stop string",
        "async_engine",
        "            self._end(seq, FinishReason.STOP)\n",
        "            self._close_stream(seq)\n",
        STREAMS,
    ),
    Mutant(
        "an abort is not told to the engine",
        "async_engine",
        "        self._thread.post(End(seq, reason))\n",
        "",
        STREAMS,
    ),
    Mutant(
        "aborted streams keep their place in the line",
        "waiting_line",
        "        if not has_started:\n            self.num_tokens -= seq.num_prompt_tokens",
        "        if False:\n            self.num_tokens -= seq.num_prompt_tokens",
        LINE,
    ),
    Mutant(
        "streams of a dead engine are left waiting",
        "async_engine",
        "        self._post(self._die)\n",
        "",
        STREAMS,
    ),
    Mutant(
        "a full line admits one more",
        "waiting_line",
        "num_sequences - max_places) > 0:",
        "num_sequences - max_places) > 1:",
        LINE,
    ),
    Mutant(
        "a client's special tokens act",
        "chat_template",
        "return mark.join(pieces)",
        'return "".join(pieces)',
        TEMPLATE,
    ),
    Mutant(
        "two texts may join into a special token",
        "chat_template",
        "return end - start < self._lengths[-1] and rest[: end - start] in self._begun",
        "return False",
        TEMPLATE,
    ),
    Mutant(
        "a prompt may have two BOS tokens",
        "tokenizer",
        "return tokens if tokens[: len(bos)] == bos else bos + tokens",
        "return bos + tokens",
        (*TEMPLATE, "test_tokenizer"),
    ),
    Mutant(
        "overlapping tensors are read",
        "safetensors_file",
        "if info.start != end:",
        "if info.start > end:",
        FILES,
    ),
    Mutant(
        "truncated files are read",
        "safetensors_file",
        "if info.end > num_data_bytes:",
        "if info.end > num_data_bytes + 8:",
        FILES,
    ),
    Mutant(
        "the quarters of a matrix are packed in another order",
        "checkpoint",
        "<< (2 * block)",
        "<< (6 - 2 * block)",
        FILES,
    ),
    Mutant(
        "a tensor may leave a gap after it",
        "gguf/placement",
        "if 0 <= space - size < self.alignment",
        "if 0 <= space - size",
        GGUF,
    ),
    Mutant(
        "a tensor may reach into the next",
        "gguf/placement",
        "if 0 <= space - size < self.alignment",
        "if space - size < self.alignment",
        GGUF,
    ),
    Mutant(
        "the first layout that fits is taken",
        "gguf/placement",
        "if len(fitting) == 1:",
        "if fitting:",
        GGUF,
    ),
    Mutant(
        "a number of things is believed before they are there",
        "gguf/cursor",
        "if count * least_bytes > self.num_left:",
        "if False:",
        GGUF,
    ),
    Mutant(
        "a file's arrays are counted one by one",
        "gguf/values",
        "                self._num_arrays_left -= count\n",
        "",
        GGUF,
    ),
    Mutant(
        "a merge may make a special token",
        "gguf/byte_pairs",
        "if is_text[merged] and is_text[ids[left]] and is_text[ids[right]]:",
        "if is_text[ids[left]] and is_text[ids[right]]:",
        GGUF_TEXT,
    ),
    Mutant(
        "pieces may make a special token",
        "gguf/sentence_pieces",
        "vocabulary.kinds[token] == TokenKind.NORMAL and ",
        "",
        GGUF_TEXT,
    ),
    Mutant(
        "of two ways to make a piece the right one goes first",
        "gguf/sentence_pieces",
        "(-scores[token], -len(left), token",
        "(-scores[token], len(left), token",
        GGUF_TEXT,
    ),
    Mutant(
        "the end of a text is text if its kind says so",
        "gguf/vocabulary",
        "            kinds[parts[part]] = TokenKind.CONTROL\n",
        "            pass\n",
        GGUF_TEXT,
    ),
)


def source_of(mutant: Mutant) -> str:
    """What is to be changed, as it is."""
    return (ROOT / mutant.package / mutant.path).read_text()


def fate(mutant: Mutant, folder: Path) -> tuple[str, str]:
    """How a mutant ended, "died", "hung" or "survived", and in the last case what is wrong."""
    source, copy = source_of(mutant), folder / mutant.path
    if source.count(mutant.source) != 1:
        return SURVIVED, f"its source occurs {source.count(mutant.source)} times in {mutant.path}"
    copy.write_text(source.replace(mutant.source, mutant.mistake))
    try:
        code, said = warm.run_tests(folder, mutant.tests)
    finally:
        copy.write_text(source)
    match code:
        case warm.PASSED:
            return SURVIVED, "no test noticed it"
        case warm.FAILED:
            return "died", ""
        case warm.TIMED_OUT:  # to hang is to be noticed, unless the machine is just slow
            return "hung", ""
        case _:
            return SURVIVED, f"the tests could not run: {said[-2000:]}"


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run every mutant whose name holds the argument."""
    part = " ".join(sys.argv[1:])
    chosen = [m for m in (*MUTANTS, *bounds.MUTANTS, *doors.MUTANTS) if part in m.name]
    faults = 0
    warm.warm_up()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy_packages(folder, warm.installed_extension())
        tests = {name for mutant in chosen for name in mutant.tests}
        code, said = warm.run_tests(folder, sorted(tests), seconds=900)
        if code:
            say("the tests fail without any mutant:", said[-4000:])
            return 1
        for mutant in chosen:
            word, fault = fate(mutant, folder)
            faults += word == SURVIVED
            say(word.ljust(8), f"{mutant.module}: {mutant.name}", fault)
    say(f"{len(chosen) - faults} of {len(chosen)} mutants died")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
