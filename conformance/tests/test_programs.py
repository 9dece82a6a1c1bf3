"""A printed program shows the fault on the mutant and passes on the reference saver."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mutants import MUTANTS
from saver_conformance import CLAUSES, clauses, load_spec, run
from saver_conformance.built_in_specs import BUILT_IN_SPECS, BuiltInSpec
from saver_conformance.capability import Api
from saver_conformance.profile import QUICK
from saver_conformance.script import Script
from saver_conformance.session import at

if TYPE_CHECKING:
    from saver_conformance.clause import Clause

clauses.load()

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


#: Clauses whose programs fail only by chance, or only by the resources they leave behind.
_RACES = ("concurrent.", "processes.", "spec.")

#: Clauses whose programs describe a second process, an event loop or a failing disk in comments.
_DESCRIBED = ("async.loops", "processes.visible", "processes.setup", "durable.", "disk.")


def _run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # Some programs are too long for a command line.
    file = folder / "program.py"
    file.write_text(program)
    # The mutants are in the folder of this file.
    folders = [str(Path(__file__).parent), *(p for p in sys.path if p)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, "-W", "ignore", str(file)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def _healthy(program: str) -> str:
    """Return the program with the reference saver instead of the mutant."""
    healthy, count = re.subn(
        r"from mutants\.\w+ import \w+",
        "from saver_conformance.reference import ReferenceSaver",
        program,
    )
    assert count
    return healthy


@pytest.mark.parametrize(("mutant", "clause_id"), _CASES)
def test_program_reproduces_its_failure(mutant: str, clause_id: str, tmp_path: Path) -> None:
    spec = MUTANTS[mutant].spec
    report = run(spec, profile="default", seed=0, only=[clause_id])
    failure = report[clause_id].failure
    assert failure is not None
    broken = _run(failure.program, tmp_path)
    assert broken.returncode != 0, failure.program
    assert "AssertionError" in broken.stderr, broken.stderr
    healthy = _healthy(failure.program)
    done = _run(healthy, tmp_path)
    assert done.returncode == 0, done.stderr + healthy


@pytest.mark.long
@pytest.mark.parametrize("clause", list(CLAUSES), ids=lambda clause: clause.id)
def test_program_of_every_clause_reproduces_its_failure(clause: Clause, tmp_path: Path) -> None:
    mutant = next(m for m in MUTANTS.values() if clause.id in m.kills)
    report = run(mutant.spec, profile="default", seed=0, only=[clause.id], shrink=False)
    failure = report[clause.id].failure
    assert failure is not None
    compile(failure.program, "program", "exec")
    if clause.id.startswith(_DESCRIBED):
        return
    done = _run(_healthy(failure.program), tmp_path)
    assert done.returncode == 0, done.stderr + failure.program
    if failure.hung or clause.id.startswith(_RACES):
        return
    broken = _run(failure.program, tmp_path)
    assert broken.returncode != 0, failure.program


@pytest.mark.parametrize("built_in", BUILT_IN_SPECS, ids=lambda built_in: built_in.reference)
def test_program_of_a_built_in_spec_compiles(built_in: BuiltInSpec) -> None:
    spec = load_spec(built_in.reference)
    for api in Api:
        script = Script(spec.snippet, spec.origin)
        script.line(script.call(api, "get_tuple", (at("thread"),), {}))
        script.reopen("PickleSerde()" if spec.takes_serde else None)
        script.line(script.call(api, "list", (None,), {"limit": 1}))
        compile(script.program(), "program", "exec")


def test_smallest_program_is_small() -> None:
    report = run(MUTANTS["LimitOffByOne"].spec, profile=QUICK, seed=0, only=["list.limit"])
    failure = report["list.limit"].failure
    assert failure is not None
    calls = [line for line in failure.program.splitlines() if line.startswith("saver.put")]
    assert len(calls) == 4
    assert "limit=1)" in failure.program


_SPECS = {
    "function": """
import saver_conformance.reference as reference
from saver_conformance import SaverSpec

class Faulty(reference.ReferenceSaver):
    def list(self, *args, limit=None, **kwargs):
        return super().list(*args, **kwargs)

def open_saver(path, serde=None):
    return Faulty(path, serde=serde)

spec = SaverSpec.on_disk("faulty", open_saver)
""",
    "manager": """
from __future__ import annotations
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from saver_conformance import SaverSpec
from saver_conformance.reference import ReferenceSaver

if TYPE_CHECKING:
    from pathlib import Path

class Faulty(ReferenceSaver):
    def list(self, *args, limit=None, **kwargs):
        return super().list(*args, **kwargs)

@contextmanager
def open_saver(path: Path):
    with closing(Faulty(path)) as saver:
        yield saver

spec = SaverSpec.on_disk("faulty", open_saver)
""",
    "async": """
from contextlib import asynccontextmanager
from saver_conformance import SaverSpec
from saver_conformance.reference import ReferenceSaver

class Faulty(ReferenceSaver):
    def list(self, *args, limit=None, **kwargs):
        return super().list(*args, **kwargs)

@asynccontextmanager
async def open_saver(path):
    yield Faulty()

spec = SaverSpec(name="faulty", open=open_saver)
""",
    "lambda": """
from saver_conformance import SaverSpec
from saver_conformance.reference import ReferenceSaver

class Faulty(ReferenceSaver):
    def list(self, *args, limit=None, **kwargs):
        return super().list(*args, **kwargs)

spec = SaverSpec(name="faulty", open=lambda path: Faulty())
""",
}


@pytest.mark.parametrize("kind", _SPECS)
def test_program_of_a_spec_without_a_snippet_stands_alone(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / f"spec_of_{kind}.py"
    file.write_text(_SPECS[kind])
    report = run(load_spec(f"{file}:spec"), profile=QUICK, seed=0, only=["list.limit"])
    failure = report["list.limit"].failure
    assert failure is not None
    file.unlink()
    assert "load_spec" not in failure.program
    done = _run(failure.program, tmp_path)
    assert "AssertionError" in done.stderr, done.stderr + failure.program
