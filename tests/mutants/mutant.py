"""What a mutant is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One mistake: in `module`, `source` becomes `mistake`; `tests` should notice.

    Attributes:
        module: its file, from the package on and without ".py".
        tests: names of files in `tests/engine`, or what pytest takes from `tests` on.
        package: "engine" or "server".
    """

    name: str
    module: str
    source: str
    mistake: str
    tests: tuple[str, ...]
    package: str = "engine"

    @property
    def path(self) -> str:
        """Where its file is in a copy of the packages."""
        return f"tercet_{self.package}/{self.module}.py"
