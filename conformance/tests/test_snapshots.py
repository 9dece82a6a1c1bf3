"""The suite for snapshot stores passes correct stores, and each of its checks kills mutants."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from saver_conformance.snapshots import CHECKS, SnapshotStoreSpec, check
from saver_conformance.snapshots.runner import run_checks
from saver_conformance.snapshots.specs import SPECS
from snapshot_mutants import MUTANTS, AsyncReference, Mutant, Reference

_CORRECT = {
    "reference": SnapshotStoreSpec("reference", Reference),
    "async reference": SnapshotStoreSpec("async reference", AsyncReference, is_async=True),
    **{
        name: spec
        for name, spec in SPECS.items()
        if not name.startswith("asap") or (sys.version_info >= (3, 13) and find_spec("asap"))
    },
}
"""Correct stores; ASAP's own where it is installed, which needs Python 3.13."""


@pytest.mark.parametrize("spec", _CORRECT.values(), ids=_CORRECT)
def test_correct_store_passes(spec: SnapshotStoreSpec) -> None:
    check(spec, examples=25)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_mutant_is_killed_by_each_of_its_checks(mutant: Mutant) -> None:
    for name in mutant.kills:
        assert run_checks(mutant.spec, only=[name])[name] is not None, name


def test_every_check_kills_a_mutant() -> None:
    assert {name for mutant in MUTANTS.values() for name in mutant.kills} == CHECKS.keys()
    assert len(MUTANTS) >= 35


def test_claims_of_a_store_are_respected() -> None:
    kept = SnapshotStoreSpec("kept", MUTANTS["KeepsTheData"].spec.open, is_isolated=False)
    assert run_checks(kept, only=["isolation"]) == {"isolation": None}
    lost = MUTANTS["LosesEverythingOnReopen"].spec.open
    check(SnapshotStoreSpec("lost", lost, is_durable=False), examples=25)


def test_failure_shows_the_calls() -> None:
    found = run_checks(MUTANTS["FirstSaveWins"].spec, only=["model"])["model"]
    assert "save({'id': " in str(found)
    assert "expected" in str(found)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "saver_conformance.snapshots", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_checks_a_store() -> None:
    done = run("lmdb", "--examples", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"passed  {name}" for name in CHECKS]
    assert "unknown store 'none'" in run("none").stderr
