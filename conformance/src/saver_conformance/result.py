"""What a run found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saver_conformance.clause import Clause


class Status(str, Enum):
    """The verdict on one clause."""

    PASSED = "passed"
    FAILED = "failed"
    KNOWN_FAILURE = "known failure"
    """It fails, and the spec says why."""
    UNEXPECTED_PASS = "unexpected pass"  # noqa: S105 - a status, not a password
    """The spec calls it a known failure, and it passes."""
    NOT_CLAIMED = "not claimed"
    HOLDS = "holds"
    """The base class leaves it open, and the saver does as the model does."""
    DIFFERS = "differs"
    """The base class leaves it open, and the saver does otherwise."""
    FOLLOWS = "follows"
    """It was not put, because a clause that it presumes has failed."""
    NOT_RUN = "not run"
    """The saver could not be opened, or the suite could not put the clause to it."""

    def __str__(self) -> str:
        return self.value

    @property
    def bad(self) -> bool:
        """Whether a run with such a clause has failed."""
        return self in (Status.FAILED, Status.UNEXPECTED_PASS, Status.NOT_RUN)


@dataclass(frozen=True)
class Failure:
    """The smallest example that breaks a clause.

    Attributes:
        message: What was expected and what came instead.
        program: A program that shows it.
        face: The face that it was found on.
        hung: Whether the saver did not answer.
    """

    message: str
    program: str
    face: str
    hung: bool = False


@dataclass(frozen=True)
class ClauseResult:
    """The verdict on one clause.

    Attributes:
        clause: The clause.
        status: The verdict.
        examples: How many examples were run.
        seconds: How long they took.
        failure: The smallest example that breaks it, if one does.
        note: Why it is a known failure, or was not run.
    """

    clause: Clause
    status: Status
    examples: int = 0
    seconds: float = 0.0
    failure: Failure | None = None
    note: str | None = None


@dataclass(frozen=True)
class Report:
    """What one run found out about one saver.

    Attributes:
        name: The saver.
        version: Its version, if its spec names a distribution.
        origin: Where its spec is.
        profile: How hard the run looked.
        seed: Repeats the run.
        seconds: How long it took.
        faces: The faces that the saver offers.
        results: The verdicts, in the order of the clauses.
        unknown_failures: Known failures in the spec that name no clause.
    """

    name: str
    version: str | None
    origin: str | None
    profile: str
    seed: int
    seconds: float
    faces: tuple[str, ...]
    results: list[ClauseResult] = field(default_factory=list)
    unknown_failures: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed that was not known to, and nothing known to fail passed."""
        return not self.unknown_failures and not any(r.status.bad for r in self.results)

    def count(self, status: Status) -> int:
        """Return how many clauses have a verdict.

        Args:
            status: The verdict.

        Returns:
            Their number.
        """
        return sum(r.status is status for r in self.results)

    @property
    def to_fix(self) -> list[ClauseResult]:
        """What failed, the worst first."""
        bad = [r for r in self.results if r.status in (Status.FAILED, Status.NOT_RUN)]
        return sorted(bad, key=lambda r: r.clause.severity.rank)

    def __getitem__(self, clause_id: str) -> ClauseResult:
        for result in self.results:
            if result.clause.id == clause_id:
                return result
        raise KeyError(clause_id)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data, the shape of the JSON report."""
        return {
            "saver": self.name,
            "version": self.version,
            "origin": self.origin,
            "profile": self.profile,
            "seed": self.seed,
            "seconds": round(self.seconds, 2),
            "faces": list(self.faces),
            "ok": self.ok,
            "counts": {s.value: self.count(s) for s in Status if self.count(s)},
            "unknown_failures": list(self.unknown_failures),
            "clauses": [_clause_dict(r) for r in self.results],
        }


def _clause_dict(result: ClauseResult) -> dict[str, Any]:
    clause, failure = result.clause, result.failure
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
        "failure": failure
        and {
            "message": failure.message,
            "program": failure.program,
            "face": failure.face,
            "hung": failure.hung,
        },
    }
