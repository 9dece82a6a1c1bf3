"""A clause: one testable property of a saver, with its source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from saver_conformance.capability import Api, Capability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hypothesis.stateful import RuleBasedStateMachine
    from hypothesis.strategies import DataObject

    from saver_conformance.session import Session

    Body = Callable[[Session, DataObject], None] | Callable[[Session], RuleBasedStateMachine]

B = TypeVar("B", bound="Body")

_ID = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+")


class Severity(str, Enum):
    """A severity: what a broken clause costs a user, worst first."""

    CRITICAL = "critical"
    """State is lost, mixed up or unreadable."""
    MAJOR = "major"
    """An answer is wrong, or a call hangs or fails."""
    MINOR = "minor"
    """Behavior differs from the documentation and has a workaround."""

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        """Position in the order of severity; 0 is the worst."""
        return list(Severity).index(self)


class Load(str, Enum):
    """A cost class of one example, which sets the number of examples."""

    LIGHT = "light"
    HEAVY = "heavy"
    MACHINE = "machine"
    SCALE = "scale"
    """One large example for each API."""
    ONCE = "once"


@dataclass(frozen=True)
class Clause:
    """One property of a saver.

    Attributes:
        id: Stable dotted id; a clause whose meaning changes gets a new id.
        sentence: The property in one sentence.
        source: Origin of the property: the base class, the runtime, or a public issue.
        severity: Severity of a failure.
        capability: Group of the clause in reports.
        needs: Capabilities that a saver must claim for the clause to run.
        apis: APIs to check.
        unspecified: True if the base class does not specify the property; never fails a saver.
        load: Cost class of one example.
        presumes: Clauses that must hold first; if one is broken, this clause is not run.
        cases: Boundary cases, which run before random examples; each has the values of all draws.
        body: Function that runs one example and raises `Violation` if the saver breaks the clause.
            With `Load.MACHINE` it returns a state machine instead.
    """

    id: str
    sentence: str
    source: str
    severity: Severity
    capability: Capability
    needs: frozenset[Capability]
    apis: tuple[Api, ...]
    unspecified: bool
    load: Load
    presumes: tuple[str, ...]
    cases: tuple[tuple[Any, ...], ...]
    body: Callable[..., Any]


class Registry:
    """A registry of clauses by id, in the order of declaration."""

    def __init__(self) -> None:
        self._clauses: dict[str, Clause] = {}

    def __iter__(self) -> Iterator[Clause]:
        return iter(self._clauses.values())

    def __len__(self) -> int:
        return len(self._clauses)

    def __contains__(self, clause_id: object) -> bool:
        return clause_id in self._clauses

    def __getitem__(self, clause_id: str) -> Clause:
        return self._clauses[clause_id]

    def add(self, clause: Clause) -> None:
        """Register a clause.

        Args:
            clause: Clause with a new, dotted id.

        Raises:
            ValueError: If the id is malformed or already registered.
        """
        if not _ID.fullmatch(clause.id):
            raise ValueError(f"clause id must be dotted and lower-case, got {clause.id!r}")
        if clause.id in self._clauses:
            raise ValueError(f"clause {clause.id} is already registered")
        self._clauses[clause.id] = clause

    def select(self, ids: Iterable[str]) -> list[Clause]:
        """Return the clauses whose id equals, or starts with, one of `ids`.

        Args:
            ids: Clause ids, or dotted prefixes, for example `list.before`.

        Returns:
            Matching clauses in the order of declaration.

        Raises:
            KeyError: If an element of `ids` matches no clause.
        """
        wanted = list(ids)
        for prefix in wanted:
            if not any(_under(clause.id, prefix) for clause in self):
                raise KeyError(f"no clause has the id or prefix {prefix!r}")
        return [c for c in self if any(_under(c.id, prefix) for prefix in wanted)]


def _under(clause_id: str, prefix: str) -> bool:
    return clause_id == prefix or clause_id.startswith(f"{prefix}.")


#: Every declared clause; `saver_conformance.clauses.load()` declares all of them.
CLAUSES = Registry()


def clause(
    clause_id: str,
    *,
    source: str,
    capability: Capability,
    severity: Severity = Severity.MAJOR,
    needs: Iterable[Capability] = (),
    apis: tuple[Api, ...] = (Api.SYNC, Api.ASYNC),
    unspecified: bool = False,
    load: Load = Load.LIGHT,
    presumes: Iterable[str] = (),
    cases: Iterable[tuple[Any, ...]] = (),
) -> Callable[[B], B]:
    """Register the decorated function as a clause; its docstring is the sentence.

    Args:
        clause_id: Stable dotted id.
        source: Origin of the property.
        capability: Group of the clause in reports.
        severity: Severity of a failure.
        needs: Further capabilities that the clause needs.
        apis: APIs to check.
        unspecified: True if the base class does not specify the property.
        load: Cost class of one example.
        presumes: Clause ids, or `prefix.*` patterns, that must hold first.
        cases: Boundary cases, each with the values of all draws of the function.

    Returns:
        Decorator that registers the function and returns it unchanged.
    """

    def register(body: B) -> B:
        doc: Any = body.__doc__
        CLAUSES.add(
            Clause(
                id=clause_id,
                sentence=" ".join(doc.split()),
                source=source,
                severity=severity,
                capability=capability,
                needs=frozenset({capability, *needs}),
                apis=apis,
                unspecified=unspecified,
                load=load,
                presumes=tuple(presumes),
                cases=tuple(cases),
                body=body,
            )
        )
        return body

    return register
