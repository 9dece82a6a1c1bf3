"""A base class for test suites; needs the extra `pytest`."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from saver_conformance import clauses
from saver_conformance.clause import CLAUSES
from saver_conformance.engine import run_clause
from saver_conformance.profile import PROFILES
from saver_conformance.result import Status
from saver_conformance.runner import opened_target
from saver_conformance.spec import as_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saver_conformance.target import Target


class SaverConformance:
    """A test class with one test for each clause.

    Subclass it, set `spec`, and let pytest collect the subclass:

        class TestMySaver(SaverConformance):
            spec = SaverSpec(name="MySaver", open=lambda path: MySaver(path / "store"))

    Attributes:
        spec: A `SaverSpec`, or a registration made by `@checkpointer_test`.
        profile: Name of the profile: `quick`, `default` or `thorough`.
        seed: Seed of every run.
    """

    spec: ClassVar[object]
    profile: ClassVar[str] = "quick"
    seed: ClassVar[int] = 0
    _open: ClassVar[ExitStack]
    _target: ClassVar[Target]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrize `test_clause` with every clause."""
        if "clause_id" in metafunc.fixturenames:
            clauses.load()
            metafunc.parametrize("clause_id", [clause.id for clause in CLAUSES])

    @classmethod
    def setup_class(cls) -> None:
        """Open and probe the saver for the whole class."""
        cls._open = ExitStack()
        cls._target = cls._open.enter_context(_probed(cls))

    @classmethod
    def teardown_class(cls) -> None:
        """Close the resources of the saver."""
        cls._open.close()

    def test_clause(self, clause_id: str) -> None:
        """Check that the saver keeps the clause."""
        target = self._target
        profile = PROFILES[type(self).profile]
        result = run_clause(target, CLAUSES[clause_id], profile, type(self).seed)
        note = result.note or ""
        if result.status in (Status.NOT_CLAIMED, Status.FOLLOWS, Status.THIN):
            pytest.skip(f"{result.status}: {note}")
        if result.status is Status.KNOWN_FAILURE:
            pytest.xfail(note)
        if result.status is Status.UNEXPECTED_PASS:
            pytest.fail(f"{clause_id} is an unexpected pass: {note}", pytrace=False)
        if result.status is Status.NOT_RUN:
            pytest.fail(f"{clause_id} was not run: {note}", pytrace=False)
        if result.status is Status.FAILED:
            found = [
                f"{apis} API: {failure.message}\n\n{failure.program}"
                for apis, failure in result.distinct_failures
            ]
            lines = [result.clause.sentence, *([note] if note else []), *found]
            pytest.fail("\n".join(lines), pytrace=False)


@contextmanager
def _probed(cls: type[Any]) -> Iterator[Target]:
    spec = as_spec(cls.spec)
    if unknown := sorted(i for i in spec.known_failures if i not in CLAUSES):
        raise ValueError(f"known_failures has unknown clause ids: {', '.join(unknown)}")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root,
        opened_target(spec, PROFILES[cls.profile], Path(root)) as target,
    ):
        target.probe()
        yield target
