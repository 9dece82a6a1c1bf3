"""A printed program shows the fault when it is run, and nothing on a saver without the fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mutants import MUTANTS
from saver_conformance import load_spec, run
from saver_conformance.capability import Face
from saver_conformance.catalogue import READY, Ready
from saver_conformance.profile import QUICK
from saver_conformance.script import Script
from saver_conformance.session import at

_CASES = [
    ("LatestByInsertion", "latest.by_id"),
    ("BoolsAreInts", "put.values.numbers"),
    ("KeepsReferences", "put.isolated"),
    ("TornPause", "list.paused.whole"),
    ("LateSnapshot", "async.snapshot"),
    ("ForgetsInterrupts", "graph.interrupts"),
    ("NeverWrites", "reopen.state"),
    ("LostWrites", "concurrent.writes"),
]


def _run(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", program]
    # The mutants are found beside this file.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environment
    )


@pytest.mark.parametrize(("mutant", "clause_id"), _CASES)
def test_a_program_shows_its_fault_alone(mutant: str, clause_id: str) -> None:
    spec = MUTANTS[mutant].spec
    report = run(spec, profile="default", seed=0, only=[clause_id])
    failure = report[clause_id].failure
    assert failure is not None
    broken = _run(failure.program)
    assert broken.returncode != 0, failure.program
    assert "AssertionError" in broken.stderr, broken.stderr
    healthy, count = re.subn(
        r"from mutants\.\w+ import \w+",
        "from saver_conformance.reference import ReferenceSaver",
        failure.program,
    )
    assert count
    done = _run(healthy)
    assert done.returncode == 0, done.stderr + healthy


@pytest.mark.parametrize("ready", READY, ids=lambda ready: ready.reference)
def test_a_program_of_a_ready_spec_is_python(ready: Ready) -> None:
    spec = load_spec(ready.reference)
    for face in Face:
        script = Script(spec.snippet, spec.origin)
        script.line(script.call(face, "get_tuple", (at("thread"),), {}))
        script.reopen("PickleSerde()" if spec.takes_serde else None)
        script.line(script.call(face, "list", (None,), {"limit": 1}))
        compile(script.program(), "program", "exec")


def test_the_smallest_program_is_small() -> None:
    report = run(MUTANTS["LimitOffByOne"].spec, profile=QUICK, seed=0, only=["list.limit"])
    failure = report["list.limit"].failure
    assert failure is not None
    calls = [line for line in failure.program.splitlines() if line.startswith("saver.put")]
    assert len(calls) == 4
    assert "limit=1)" in failure.program
