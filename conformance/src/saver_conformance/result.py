"""Results of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from saver_conformance.violation import FailureKind

if TYPE_CHECKING:
    from saver_conformance.clause import Clause, Severity
    from saver_conformance.report_data import ClauseData, FailureData, ReportData


#: The prefix of async method names in messages.
_ASYNC_PREFIX = re.compile(r"\ba(?=(put|get|list|delete|copy|prune))")


class Status(str, Enum):
    """A result status of one clause."""

    PASSED = "passed"
    THIN = "thin"
    """No example breaks the clause, but time ran out before the minimum number of examples."""
    FAILED = "failed"
    KNOWN_FAILURE = "known failure"
    """The clause fails, as the spec declares."""
    UNEXPECTED_PASS = "unexpected pass"  # noqa: S105 - a status, not a password
    """The clause passes, although the spec declares it a known failure."""
    NOT_CLAIMED = "not claimed"
    HOLDS = "holds"
    """The property is unspecified, and the saver behaves like the model."""
    DIFFERS = "differs"
    """The property is unspecified, and the saver behaves differently from the model."""
    FOLLOWS = "follows"
    """The clause was not run, because a clause that it presumes is broken."""
    NOT_RUN = "not run"
    """The saver could not be opened, or the suite could not run the clause."""

    def __str__(self) -> str:
        return self.value

    @property
    def bad(self) -> bool:
        """True if a clause with this status makes the run fail."""
        return self in (Status.FAILED, Status.UNEXPECTED_PASS, Status.NOT_RUN)


@dataclass(frozen=True)
class Failure:
    """A failing example, the smallest one found.

    Attributes:
        message: Expected and actual behavior.
        program: Program that reproduces the failure.
        api: API of the example.
        kind: Kind of the failure.
    """

    message: str
    program: str
    api: str
    kind: FailureKind = FailureKind.WRONG

    @property
    def hung(self) -> bool:
        """True if a call of the saver timed out."""
        return self.kind is FailureKind.HUNG


@dataclass(frozen=True)
class ClauseResult:
    """A result of one clause.

    Attributes:
        clause: Clause that was run.
        status: Status.
        examples: Number of examples that were run.
        seconds: Duration in seconds.
        failures: Smallest failing example of each API that fails; unexpected failures first.
        note: Reason of a known failure or of a clause that was not run.
    """

    clause: Clause
    status: Status
    examples: int = 0
    seconds: float = 0.0
    failures: tuple[Failure, ...] = ()
    note: str | None = None

    @property
    def failure(self) -> Failure | None:
        """First failing example, or None."""
        return self.failures[0] if self.failures else None

    @property
    def distinct_failures(self) -> list[tuple[str, Failure]]:
        """Failures with their APIs ("sync and async"); equal messages are one failure."""
        groups: dict[str, list[Failure]] = {}
        for failure in self.failures:
            groups.setdefault(_ASYNC_PREFIX.sub("", failure.message), []).append(failure)
        return [(" and ".join(f.api for f in group), group[0]) for group in groups.values()]


@dataclass(frozen=True)
class Report:
    """A report of one run against one saver.

    Attributes:
        name: Name of the saver.
        version: Version of the saver's distribution, or None.
        origin: `module:attribute` of the spec, or None.
        profile: Name of the profile.
        seed: Seed that repeats the run.
        seconds: Duration in seconds.
        apis: APIs that the saver supports.
        results: Results in the order of the clauses.
        unknown_failures: Known failures of the spec whose clause does not exist.
    """

    name: str
    version: str | None
    origin: str | None
    profile: str
    seed: int
    seconds: float
    apis: tuple[str, ...]
    results: list[ClauseResult] = field(default_factory=list)
    unknown_failures: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if no clause failed unexpectedly and no known failure passed."""
        return not self.unknown_failures and not any(r.status.bad for r in self.results)

    def conforms(self, least: Severity) -> bool:
        """Return True if no clause of a severity, or of a worse one, fails the run.

        Args:
            least: Least severity that fails the run.

        Returns:
            True if the saver conforms; a misspelled known failure never conforms.
        """
        bad = [r for r in self.results if r.status.bad]
        return not self.unknown_failures and all(r.clause.severity.rank > least.rank for r in bad)

    def count(self, status: Status) -> int:
        """Return the number of clauses with a status.

        Args:
            status: Status to count.

        Returns:
            Number of clauses.
        """
        return sum(r.status is status for r in self.results)

    @property
    def to_fix(self) -> list[ClauseResult]:
        """Failed clauses and clauses that were not run, worst first."""
        bad = [r for r in self.results if r.status in (Status.FAILED, Status.NOT_RUN)]
        return sorted(bad, key=lambda r: r.clause.severity.rank)

    def __getitem__(self, clause_id: str) -> ClauseResult:
        for result in self.results:
            if result.clause.id == clause_id:
                return result
        raise KeyError(clause_id)

    def as_dict(self) -> ReportData:
        """Return the report as plain data, in the form of the JSON report."""
        return {
            "saver": self.name,
            "version": self.version,
            "origin": self.origin,
            "profile": self.profile,
            "seed": self.seed,
            "seconds": round(self.seconds, 2),
            "apis": list(self.apis),
            "ok": self.ok,
            "counts": {s.value: self.count(s) for s in Status if self.count(s)},
            "unknown_failures": list(self.unknown_failures),
            "clauses": [_clause_dict(r) for r in self.results],
        }


def _clause_dict(result: ClauseResult) -> ClauseData:
    clause = result.clause
    return {
        "id": clause.id,
        "sentence": clause.sentence,
        "source": clause.source,
        "severity": clause.severity.value,
        "capability": clause.capability.value,
        "unspecified": clause.unspecified,
        "status": result.status.value,
        "examples": result.examples,
        "seconds": round(result.seconds, 3),
        "note": result.note,
        "failure": _failure_dict(result.failure) if result.failure else None,
        "failures": [_failure_dict(failure) for failure in result.failures],
    }


def _failure_dict(failure: Failure) -> FailureData:
    return {
        "message": failure.message,
        "program": failure.program,
        "api": failure.api,
        "kind": failure.kind.value,
    }
