"""Properties of every clause."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from saver_conformance import CLAUSES, clauses
from saver_conformance.built_in_specs import BUILT_IN_SPECS
from saver_conformance.spec import load_spec

if TYPE_CHECKING:
    from saver_conformance.clause import Clause

clauses.load()


@pytest.mark.parametrize("clause", list(CLAUSES), ids=lambda clause: clause.id)
def test_clause_is_one_sentence_with_a_source(clause: Clause) -> None:
    assert clause.sentence.endswith(".")
    assert ". " not in clause.sentence
    assert clause.source
    assert not clause.source.endswith(".")
    assert clause.capability in clause.needs


def test_clause_runs_after_the_clauses_that_it_presumes() -> None:
    seen: list[str] = []
    for clause in CLAUSES:
        for pattern in clause.presumes:
            assert any(fnmatchcase(i, pattern) for i in seen), (clause.id, pattern)
        seen.append(clause.id)


def test_clauses_are_selected_by_prefix() -> None:
    assert [c.id for c in CLAUSES.select(["list.limit"])] == ["list.limit", "list.limit.zero"]
    with pytest.raises(KeyError, match=r"list\.lim"):
        CLAUSES.select(["list.lim"])


@pytest.mark.parametrize("built_in", BUILT_IN_SPECS, ids=lambda built_in: built_in.reference)
def test_built_in_spec_loads_without_its_saver(built_in: object) -> None:
    spec = load_spec(built_in.reference)  # type: ignore[attr-defined]
    assert spec.snippet
    assert spec.distribution == built_in.distribution  # type: ignore[attr-defined]
    assert all(known in CLAUSES for known in spec.known_failures)


def test_readme_has_the_number_of_clauses() -> None:
    readme = Path(__file__).parent.parent / "README.md"
    assert f"{len(CLAUSES)} clauses" in readme.read_text()
