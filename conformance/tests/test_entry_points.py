"""The entry points: command line, `run`, the pytest class, and official registrations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from langgraph.checkpoint.conformance import checkpointer_test
from langgraph.checkpoint.memory import InMemorySaver

from saver_conformance import SaverSpec, Status, load_spec, run
from saver_conformance.reference import ReferenceSaver
from saver_conformance.servers import postgres

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

#: A saver of a user, in ten lines, with one fault.
_USER_SPEC = """
from saver_conformance import SaverSpec
from saver_conformance.reference import ReferenceSaver


class MySaver(ReferenceSaver):
    def list(self, config, *, filter=None, before=None, limit=None):
        return super().list(config, filter=filter, before=before, limit=limit or None)


spec = SaverSpec(name="MySaver", open=lambda path: MySaver())
"""


def _command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "saver_conformance", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )


def test_check_of_a_user_spec_writes_every_report(tmp_path: Path) -> None:
    (tmp_path / "my_saver.py").write_text(_USER_SPEC)
    outputs = [f"report{suffix}" for suffix in (".json", ".md", ".xml", ".html")]
    named = [part for name in outputs for part in ("-o", name)]
    arguments = ["my_saver.py:spec", "--profile", "quick", "--seed", "1", "--only", "list"]
    done = _command(tmp_path, "check", *arguments, *named)
    assert done.returncode == 1, done.stderr
    assert "fix first: list.limit.zero" in done.stdout
    assert "limit=0" in done.stdout
    assert "--seed 1" in done.stdout

    [report] = json.loads((tmp_path / "report.json").read_text())
    assert report["counts"]["failed"] == 1
    [failed] = [c for c in report["clauses"] if c["status"] == "failed"]
    program = failed["failure"]["program"]
    shown = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 1
    assert "AssertionError" in shown.stderr
    suite = ET.parse(tmp_path / "report.xml").getroot()[0]
    assert suite.attrib["failures"] == "1"
    assert "list.limit.zero" in (tmp_path / "report.md").read_text()
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert page.count("MySaver") >= 1


def test_specs_use_the_given_server_and_leave_no_database(tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg")
    spec = "saver_conformance.specs.compact_postgres:spec"
    with postgres() as conninfo, psycopg.connect(conninfo) as connection:
        arguments = ["check", spec, "--profile", "quick", "--only", "get.by_id", "--every"]
        done = _command(tmp_path, *arguments, "--server", conninfo)
        (databases,) = connection.execute("SELECT count(*) FROM pg_database").fetchone()
    assert done.returncode == 0, done.stdout
    assert "get.by_id" in done.stdout
    assert databases == 3


def test_server_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    spec = "saver_conformance.specs.compact_postgres:spec"
    away = f"host={tmp_path} user=user password=secret"
    done = _command(tmp_path, "check", spec, "--only", "get.by_id", "--server", away)
    assert done.returncode == 1
    assert "cannot be reached" in " ".join(done.stdout.split())
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(("least", "code"), [("minor", 1), ("major", 0), ("any", 2)])
def test_fail_on_sets_the_least_severity_that_fails(tmp_path: Path, least: str, code: int) -> None:
    (tmp_path / "my_saver.py").write_text(_USER_SPEC)
    arguments = ["--profile", "quick", "--only", "list.limit", "--fail-on", least]
    done = _command(tmp_path, "check", "my_saver.py:spec", *arguments)
    assert done.returncode == code, done.stdout
    if code != 2:
        assert "fix first: list.limit.zero (minor)" in done.stdout
        found = "does not conform" if code else "has no critical or major failure"
        assert found in done.stdout


def test_explain_prints_the_clause_and_its_dependents(tmp_path: Path) -> None:
    done = _command(tmp_path, "explain", "list.limit")
    assert done.returncode == 0, done.stdout
    for text in (
        "limit=n returns the n newest",
        "Source:",
        "list.limit.zero",
        "def limit(",
        "- limit is ignored unless it is zero.",
    ):
        assert text in done.stdout
    unknown = _command(tmp_path, "explain", "list.limti")
    assert unknown.returncode == 2
    assert "no clause has the id 'list.limti'" in unknown.stdout


def test_conforming_saver_exits_with_zero(tmp_path: Path) -> None:
    arguments = ["--profile", "quick", "--only", "latest", "--only", "get"]
    done = _command(tmp_path, "check", "saver_conformance.specs.reference:memory", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "conforms" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check"], "pass a MODULE:SPEC or --all-installed"),
        (["check", "nowhere:spec"], "No module named"),
        (["check", "nowhere.py:spec"], "nowhere.py does not exist"),
        (["check", "raises.py:spec"], "RuntimeError: import failure"),
        (["check", "no_python.py:spec"], "SyntaxError"),
        (
            ["check", "one/my_spec.py:spec", "other/my_spec.py:spec"],
            "is loaded from",
        ),
        (["check", "json:nothing"], "has no attribute"),
        (["check", "json:dumps"], "spec must be a SaverSpec"),
        (["check", "spec"], "reference must be MODULE:SPEC"),
        (["check", "saver_conformance.specs.memory:spec", "--profile", "hard"], "profile must be"),
        (
            ["check", "saver_conformance.specs.memory:spec", "--only", "nothing"],
            "no clause has the id",
        ),
        (
            [
                "check",
                "saver_conformance.specs.memory:spec",
                "--only",
                "get.unknown",
                "-o",
                "x.pdf",
            ],
            "output must end in one of",
        ),
    ],
)
def test_wrong_command_exits_with_two(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "raises.py").write_text("raise RuntimeError('import failure')")
    (tmp_path / "no_python.py").write_text("spec = = 1")
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        (folder / "my_spec.py").write_text(_USER_SPEC)
    done = _command(tmp_path, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    # The output is wrapped, also within a long path.
    assert message.replace(" ", "") in "".join(done.stdout.split())


@pytest.mark.parametrize("command", [(), ("check",), ("clauses",), ("survey",)])
def test_every_command_has_help(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = _command(tmp_path, *command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_unwritable_report_is_rejected_before_the_run(tmp_path: Path) -> None:
    specs = ["saver_conformance.specs.reference:memory", "--profile", "thorough"]
    done = _command(tmp_path, "check", *specs, "-o", "nowhere/report.html")
    assert done.returncode == 2
    assert "does not exist" in done.stdout


def test_spec_with_a_missing_server_is_not_run(tmp_path: Path) -> None:
    specs = ["saver_conformance.specs.plainredis:sync", "saver_conformance.specs.reference:memory"]
    arguments = ["check", *specs, "--profile", "quick", "--only", "get.unknown"]
    done = subprocess.run(
        [sys.executable, "-m", "saver_conformance", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "plainredis:sync was not run: redis-server is not installed" in said
    assert "in memory 0.1.0 conforms" in said


def test_saver_name_is_not_interpreted_as_markup(tmp_path: Path) -> None:
    (tmp_path / "my_saver.py").write_text(_USER_SPEC.replace('"MySaver"', '"my [/saver]"'))
    arguments = ["my_saver.py:spec", "--profile", "quick", "--only", "get.unknown"]
    done = _command(tmp_path, "check", *arguments)
    assert done.returncode == 0, done.stderr
    assert "my [/saver] conforms" in done.stdout


def test_clauses_command_lists_every_clause(tmp_path: Path) -> None:
    done = _command(tmp_path, "clauses")
    assert done.returncode == 0
    assert "list.before.strict" in done.stdout


def test_official_registration_is_accepted() -> None:
    entered = []

    async def lifespan() -> AsyncGenerator[None, None]:
        entered.append("in")
        yield
        entered.append("out")

    shared = InMemorySaver()

    @checkpointer_test(name="registered", skip_capabilities={"prune"}, lifespan=lifespan)
    async def registered() -> AsyncGenerator[InMemorySaver, None]:
        yield shared

    report = run(registered, profile="quick", seed=0, only=["latest", "list.everything", "prune"])
    assert entered == ["in", "out"]
    assert report["latest.by_id"].status is Status.PASSED
    # Every example uses the same store, which is emptied between examples.
    assert report["list.everything"].status is Status.PASSED
    assert report["prune.keep_latest"].status is Status.NOT_CLAIMED


def test_excluded_clauses_are_left_out() -> None:
    spec = SaverSpec(name="memory", open=lambda path: ReferenceSaver())
    only, exclude = ["list.limit", "get"], ["list.limit.zero", "get"]
    report = run(spec, profile="quick", seed=0, only=only, exclude=exclude)
    assert [result.clause.id for result in report.results] == ["list.limit"]
    with pytest.raises(KeyError, match="nothing"):
        run(spec, profile="quick", exclude=["nothing"])


def test_run_with_the_same_seed_is_reproducible() -> None:
    class NoFilter(ReferenceSaver):
        def list(self, config: object, **narrowing: object) -> object:  # type: ignore[override]
            narrowing.pop("filter", None)
            return super().list(config, **narrowing)  # type: ignore[arg-type]

    spec = SaverSpec(name="no filter", open=lambda path: NoFilter())
    first, second = (
        run(spec, profile="quick", seed=7, only=["list.filter"])["list.filter"] for _ in range(2)
    )
    assert first.failure is not None
    assert second.failure is not None
    assert first.failure.program == second.failure.program
    assert first.examples == second.examples


def test_spec_is_loaded_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "user_file.py").write_text(_USER_SPEC)
    spec = load_spec(f"{tmp_path}/user_file.py:spec")
    assert spec.name == "MySaver"
    assert spec.origin == "user_file:spec"


_PYTEST = """
from saver_conformance.specs.reference import memory
from saver_conformance.testing import SaverConformance


class TestFirst(SaverConformance):
    spec = memory


class TestSecond(SaverConformance):
    spec = memory
"""


def test_two_test_classes_run_in_one_session(tmp_path: Path) -> None:
    (tmp_path / "test_savers.py").write_text(_PYTEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "list.limit"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
