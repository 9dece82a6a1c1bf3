"""The suite for snapshot stores passes correct stores, and each of its checks kills mutants."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from saver_conformance.result import Status
from saver_conformance.snapshots import (
    CHECKS,
    SnapshotStoreSpec,
    SnapshotViolation,
    check,
    run_checks,
)
from saver_conformance.snapshots.specs import SPECS
from snapshot_mutants import snapshot_table
from snapshot_registry import MUTANTS, Mutant
from snapshot_stores import (
    AsyncReference,
    HangsOnAwait,
    HangsOnClose,
    HangsOnGet,
    Reference,
)

_CORRECT = {
    "reference": SnapshotStoreSpec("reference", Reference),
    "async reference": SnapshotStoreSpec("async reference", AsyncReference, is_async=True),
    "lmdb": SPECS["lmdb"],
    "lmdb-async": SPECS["lmdb-async"],
}


@pytest.mark.parametrize("spec", _CORRECT.values(), ids=_CORRECT)
def test_correct_store_passes(spec: SnapshotStoreSpec) -> None:
    check(spec, examples=25)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_mutant_is_killed_by_each_of_its_checks(mutant: Mutant) -> None:
    for name in mutant.kills:
        assert run_checks(mutant.spec, only=[name])[name].status is Status.FAILED, name


def test_every_check_kills_a_mutant() -> None:
    assert {name for mutant in MUTANTS.values() for name in mutant.kills} == CHECKS.keys()
    assert len(MUTANTS) >= 42


def test_mutants_are_listed() -> None:
    text = (Path(__file__).parents[1] / "MUTANTS.md").read_text(encoding="utf-8")
    assert text.endswith("\n" + "\n".join(snapshot_table()) + "\n")


def test_store_that_is_not_durable_is_not_reopened() -> None:
    lost = MUTANTS["LosesEverythingOnReopen"].spec.open
    check(SnapshotStoreSpec("lost", lost, is_durable=False), examples=25)


def test_known_failure_does_not_fail_the_run() -> None:
    kept = replace(MUTANTS["KeepsTheData"].spec, known_failures={"isolation": "it shares them"})
    found = run_checks(kept, only=["isolation"])["isolation"]
    assert found.status is Status.KNOWN_FAILURE
    assert str(found).startswith("known failure: it shares them: AssertionError: got ")
    check(kept, examples=5)


def test_known_failure_that_passes_fails_the_run() -> None:
    fixed = SnapshotStoreSpec("fixed", Reference, known_failures={"isolation": "it shares them"})
    assert run_checks(fixed, only=["isolation"])["isolation"].status is Status.UNEXPECTED_PASS
    with pytest.raises(SnapshotViolation, match="isolation: unexpected pass: it shares them"):
        check(fixed, examples=5)


def test_known_failure_of_an_unknown_check_is_refused() -> None:
    spec = SnapshotStoreSpec("wrong", Reference, known_failures={"none": "reason"})
    with pytest.raises(ValueError, match=r"known_failures must name checks, got \['none'\]"):
        run_checks(spec)


@pytest.mark.parametrize("store", [HangsOnGet, HangsOnAwait, HangsOnClose])
def test_call_that_hangs_fails_each_check_once(store: type[Any]) -> None:
    is_async = store is HangsOnAwait
    spec = SnapshotStoreSpec("hangs", store, is_async=is_async, call_seconds=0.2)
    opened = store.opened = []
    found = run_checks(spec, only=["model", "many_versions", "concurrent"])
    assert [result.status for result in found.values()] == [Status.FAILED] * 3
    assert all("no answer within 0.2 s, after\n" in str(result) for result in found.values())
    assert len(opened) <= 4  # nothing is shrunk: each of its examples would hang


def test_failure_shows_the_calls() -> None:
    found = run_checks(MUTANTS["FirstSaveWins"].spec, only=["model"])["model"]
    assert "save({'id': " in str(found.error)
    assert "expected" in str(found)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "saver_conformance.snapshots", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_checks_a_store() -> None:
    done = run("lmdb", "--examples", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"passed  {name}" for name in CHECKS]
    assert "unknown store 'none'" in run("none").stderr
