"""The clauses as data."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from saver_conformance import CLAUSES, clauses
from saver_conformance.catalogue import READY
from saver_conformance.spec import load_spec

if TYPE_CHECKING:
    from saver_conformance.clause import Clause

clauses.load()


@pytest.mark.parametrize("clause", list(CLAUSES), ids=lambda clause: clause.id)
def test_a_clause_is_one_sentence_with_a_source(clause: Clause) -> None:
    assert clause.sentence.endswith(".")
    assert ". " not in clause.sentence
    assert clause.source
    assert not clause.source.endswith(".")
    assert clause.capability in clause.needs


def test_a_clause_comes_after_those_that_it_presumes() -> None:
    seen: list[str] = []
    for clause in CLAUSES:
        for pattern in clause.presumes:
            assert any(fnmatchcase(i, pattern) for i in seen), (clause.id, pattern)
        seen.append(clause.id)


def test_ids_can_be_selected_by_prefix() -> None:
    assert [c.id for c in CLAUSES.select(["list.limit"])] == ["list.limit", "list.limit.zero"]
    with pytest.raises(KeyError, match=r"list\.lim"):
        CLAUSES.select(["list.lim"])


@pytest.mark.parametrize("ready", READY, ids=lambda ready: ready.reference)
def test_a_ready_spec_loads_without_its_saver_and_knows_its_clauses(ready: object) -> None:
    spec = load_spec(ready.reference)  # type: ignore[attr-defined]
    assert spec.snippet
    assert spec.distribution == ready.distribution  # type: ignore[attr-defined]
    assert all(known in CLAUSES for known in spec.known_failures)


def test_the_readme_counts_them() -> None:
    readme = Path(__file__).parent.parent / "README.md"
    assert f"{len(CLAUSES)} clauses" in readme.read_text()
