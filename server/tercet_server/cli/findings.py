"""What an examination of a host has found, one line each, and what to change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How a finding is."""

    OK = "ok"
    """As it should be, or merely worth knowing."""
    ADVICE = "advice"
    """It works, and could be better."""
    FAILURE = "failure"
    """A server would not start, or could not be trusted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: the heading under which it stands.
        name: what was looked at.
        text: what was found, for people.
        data: the same for machines.
        advice: what to change; None: nothing.
        is_failure: whether a server would not run as it is.
    """

    topic: str
    name: str
    text: str
    data: Any = None
    advice: str | None = None
    is_failure: bool = False

    @property
    def verdict(self) -> Verdict:
        """How it is."""
        if self.is_failure:
            return Verdict.FAILURE
        return Verdict.ADVICE if self.advice else Verdict.OK

    def as_json(self) -> dict[str, Any]:
        """Every part by its name."""
        return {
            "topic": self.topic,
            "name": self.name,
            "verdict": self.verdict,
            "text": self.text,
            "value": self.data,
            "advice": self.advice,
        }


@dataclass(frozen=True, slots=True)
class Examination:
    """All findings, in the order in which they are shown."""

    findings: Sequence[Finding] = field(default_factory=tuple)

    @property
    def advice(self) -> list[str]:
        """What to change, failures first."""
        found = sorted(self.findings, key=lambda finding: not finding.is_failure)
        return [finding.advice for finding in found if finding.advice]

    @property
    def has_failed(self) -> bool:
        """Whether a server would not run."""
        return any(finding.is_failure for finding in self.findings)

    def as_json(self) -> Mapping[str, Any]:
        """For machines."""
        return {
            "ok": not self.has_failed,
            "findings": [finding.as_json() for finding in self.findings],
            "advice": self.advice,
        }
