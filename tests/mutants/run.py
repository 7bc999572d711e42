"""Are the tests tests? Each mutant is a plausible mistake, and some test must see it.

    python -m tests.mutants.run [PART OF A NAME]

The packages are copied to a temporary folder, one change is made there, and the tests named with it
are run against the copy, never against the working tree. A mutant that survives, or whose source is
no longer found, fails the run. Mutants of the server, of files and of bounds are in modules of
their own (`engine`, `bounds`, `doors`); `flips` makes others by rule.
"""

import sys
import tempfile
from pathlib import Path

from tests.another_copy import ROOT, copy_packages
from tests.mutants import bounds, doors, engine, grammars, warm
from tests.mutants.mutant import Mutant

SURVIVED = "survived"


def mutants() -> list[Mutant]:
    """All of them."""
    rooms = (engine, grammars, bounds, doors)
    return [mutant for room in rooms for mutant in room.MUTANTS]


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
    chosen = [mutant for mutant in mutants() if part in mutant.name]
    if not chosen:
        say(f"no mutant's name holds {part!r}")
        return 2
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
