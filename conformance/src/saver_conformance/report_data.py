"""The form of a JSON report; the source of its JSON schema."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class FailureData(TypedDict):
    """A failing example of one API.

    Attributes:
        message: Expected and actual behavior.
        program: Program that reproduces the failure.
        api: API of the example, `sync` or `async`; `-` if the saver could not be opened.
        kind: Kind of the failure.
    """

    message: str
    program: str
    api: str
    kind: Literal["wrong", "raised", "hung"]


class ClauseData(TypedDict):
    """A result of one clause.

    Attributes:
        id: Id of the clause.
        sentence: Property in one sentence.
        source: Origin of the property.
        severity: Severity of a failure.
        capability: Group of the clause.
        unspecified: True if the base class does not specify the property.
        status: Status of the result.
        examples: Number of examples that were run.
        seconds: Duration in seconds.
        note: Reason of a known failure or of a clause that was not run, or null.
        failure: First failing example, or null.
        failures: Smallest failing example of each API.
    """

    id: str
    sentence: str
    source: str
    severity: Literal["critical", "major", "minor"]
    capability: str
    unspecified: bool
    status: Literal[
        "passed",
        "thin",
        "failed",
        "known failure",
        "unexpected pass",
        "not claimed",
        "holds",
        "differs",
        "follows",
        "not run",
    ]
    examples: int
    seconds: float
    note: str | None
    failure: FailureData | None
    failures: list[FailureData]


class ReportData(TypedDict):
    """A report of one saver; a JSON report is a list of them.

    Attributes:
        saver: Name of the saver.
        version: Version of the saver's distribution, or null.
        origin: `module:attribute` of the spec, or null.
        profile: Name of the profile.
        seed: Seed that repeats the run.
        seconds: Duration in seconds.
        apis: APIs that the saver supports.
        ok: True if no clause fails the run.
        counts: Number of clauses for each status that occurs.
        unknown_failures: Known failures of the spec whose clause does not exist.
        clauses: Results in the order of the clauses.
    """

    saver: str
    version: str | None
    origin: str | None
    profile: str
    seed: int
    seconds: float
    apis: list[str]
    ok: bool
    counts: dict[str, int]
    unknown_failures: list[str]
    clauses: list[ClauseData]
