"""Every mutant is killed by each of its clauses, and every clause kills a mutant."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mutants import MUTANTS, Mutant
from mutation_table import FAULTS, faults_by_clause
from saver_conformance import CLAUSES, Status, clauses, run
from saver_conformance.profile import DEFAULT

clauses.load()

#: The default profile with a shorter time limit of a call.
_PROFILE = replace(DEFAULT, call_seconds=3)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda mutant: mutant.name)
def test_default_profile_kills(mutant: Mutant) -> None:
    for clause_id in mutant.kills:
        report = run(mutant.spec, profile=_PROFILE, seed=0, only=[clause_id], shrink=False)
        status = report[clause_id].status
        assert status in (Status.FAILED, Status.DIFFERS), (clause_id, report[clause_id].note)


def test_every_clause_kills_a_mutant() -> None:
    assert len(MUTANTS) >= 60
    killing = {clause_id for mutant in MUTANTS.values() for clause_id in mutant.kills}
    assert killing == {clause.id for clause in CLAUSES}


def test_explain_has_the_faults_of_the_mutants() -> None:
    assert json.loads(FAULTS.read_text("utf-8")) == faults_by_clause()
