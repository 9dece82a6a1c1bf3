"""The quick profile on the reference saver, InMemorySaver, SqliteSaver and LmdbSaver."""

from __future__ import annotations

import importlib.util

import pytest

from saver_conformance.specs import lmdb, memory, reference, sqlite
from saver_conformance.testing import SaverConformance


class TestReference(SaverConformance):
    """The reference saver keeps every clause: no false alarms."""

    spec = reference.memory


class TestInMemorySaver(SaverConformance):
    spec = memory.spec


class TestSqliteSaver(SaverConformance):
    spec = sqlite.sync


if importlib.util.find_spec("langgraph.checkpoint.lmdb") is not None:

    class TestLmdbSaver(SaverConformance):
        spec = lmdb.spec


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    "spec", [reference.memory, reference.disk, lmdb.spec], ids=lambda s: s.name
)
def test_ten_seeds_raise_no_false_alarm(spec: object, seed: int) -> None:
    from saver_conformance import Status, run

    report = run(spec, profile="default", seed=seed)
    wrong = [r for r in report.results if r.status in (Status.FAILED, Status.DIFFERS)]
    assert not wrong, [(r.clause.id, r.failure) for r in wrong]
    assert report.ok
