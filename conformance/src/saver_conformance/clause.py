"""A clause: one sentence that a saver keeps or breaks, and where it comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from saver_conformance.capability import Capability, Face

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hypothesis.stateful import RuleBasedStateMachine
    from hypothesis.strategies import DataObject

    from saver_conformance.session import Session

    Body = Callable[[Session, DataObject], None] | Callable[[Session], RuleBasedStateMachine]

B = TypeVar("B", bound="Body")

_ID = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+")


class Severity(str, Enum):
    """What breaking the clause costs a user, worst first."""

    CRITICAL = "critical"
    """State is lost, mixed up or never comes back."""
    MAJOR = "major"
    """An answer is wrong, a call hangs or fails."""
    MINOR = "minor"
    """Something works otherwise than documented, and can be worked around."""

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        """Position in the order of repair: 0 is first."""
        return list(Severity).index(self)


class Load(str, Enum):
    """How much one example costs, which decides how many a profile runs."""

    LIGHT = "light"
    HEAVY = "heavy"
    MACHINE = "machine"
    ONCE = "once"


@dataclass(frozen=True)
class Clause:
    """One property of a saver.

    Attributes:
        id: Stable dotted name; a clause that changes its meaning gets a new one.
        sentence: The property, in one sentence.
        source: What it follows from: the base class, the runtime, or a public issue.
        severity: What breaking it costs.
        capability: The group it is reported under.
        needs: Every capability without which the clause cannot be put to a saver.
        faces: The faces that it is checked on.
        unspecified: The base class leaves it open, so it is reported and never fails a saver.
        load: How much one example costs.
        presumes: Clauses without which a failure of this one would only tell the same fault again.
        body: Plays one example, and raises `Violation` if the saver breaks the clause. For a state
            machine it makes the machine instead, and `load` is `Load.MACHINE`.
    """

    id: str
    sentence: str
    source: str
    severity: Severity
    capability: Capability
    needs: frozenset[Capability]
    faces: tuple[Face, ...]
    unspecified: bool
    load: Load
    presumes: tuple[str, ...]
    body: Callable[..., Any]


class Registry:
    """The clauses of the suite, by id, in the order in which they were declared."""

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
            clause: The clause; its id must be new and dotted.

        Raises:
            ValueError: If the id is malformed or taken.
        """
        if not _ID.fullmatch(clause.id):
            raise ValueError(f"{clause.id!r} is not a dotted lower-case id")
        if clause.id in self._clauses:
            raise ValueError(f"clause {clause.id} is declared twice")
        self._clauses[clause.id] = clause

    def select(self, ids: Iterable[str]) -> list[Clause]:
        """Return the clauses whose id is, or starts with, one of `ids`.

        Args:
            ids: Whole ids, or dotted prefixes such as `list.before`.

        Returns:
            The matching clauses, in the order in which they were declared.

        Raises:
            KeyError: If one of `ids` matches nothing.
        """
        wanted = list(ids)
        for prefix in wanted:
            if not any(_under(clause.id, prefix) for clause in self):
                raise KeyError(f"no clause is called {prefix!r}")
        return [c for c in self if any(_under(c.id, prefix) for prefix in wanted)]


def _under(clause_id: str, prefix: str) -> bool:
    return clause_id == prefix or clause_id.startswith(f"{prefix}.")


#: Every clause that has been declared; `saver_conformance.clauses.load()` declares them all.
CLAUSES = Registry()


def clause(
    clause_id: str,
    *,
    source: str,
    capability: Capability,
    severity: Severity = Severity.MAJOR,
    needs: Iterable[Capability] = (),
    faces: tuple[Face, ...] = (Face.SYNC, Face.ASYNC),
    unspecified: bool = False,
    load: Load = Load.LIGHT,
    presumes: Iterable[str] = (),
) -> Callable[[B], B]:
    """Declare the decorated function as a clause; its docstring is the clause's sentence.

    Args:
        clause_id: Stable dotted name.
        source: What the clause follows from.
        capability: The group it is reported under.
        severity: What breaking it costs.
        needs: Capabilities besides `capability` that it cannot do without.
        faces: The faces that it is checked on.
        unspecified: Whether the base class leaves it open.
        load: How much one example costs.
        presumes: Clauses, or `prefix.*`, that it is put after, and only if they hold.

    Returns:
        A decorator that registers the function and returns it unchanged.
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
                faces=faces,
                unspecified=unspecified,
                load=load,
                presumes=tuple(presumes),
                body=body,
            )
        )
        return body

    return register
