"""A known failure is pinned to its API, kind and message; anything else fails the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from profiles import FAST
from saver_conformance import FailureKind, KnownFailure, SaverSpec, Status, run
from saver_conformance.capability import Api
from saver_conformance.reference import ReferenceSaver


def test_unexpected_pass_and_unknown_clause_in_known_failures_fail() -> None:
    known = {"list.limit": "known fault", "list.limti": "misspelled id"}
    spec = SaverSpec(name="good", open=lambda path: ReferenceSaver(), known_failures=known)
    report = run(spec, profile=FAST, seed=0, only=["list.limit"])
    assert report["list.limit"].status is Status.UNEXPECTED_PASS
    assert report.unknown_failures == ("list.limti",)
    assert not report.ok


class _NoLimit(ReferenceSaver):
    """Ignores limit with both APIs."""

    def list(self, config: Any, **narrowing: Any) -> Any:
        narrowing.pop("limit", None)
        return super().list(config, **narrowing)


class _NoSyncLimit(_NoLimit):
    """Ignores limit with the sync API."""

    async def alist(self, config: Any, **narrowing: Any) -> Any:
        for found in ReferenceSaver.list(self, config, **narrowing):
            yield found


class _RaisingLimit(ReferenceSaver):
    """Raises for a limit with both APIs."""

    def list(self, config: Any, **narrowing: Any) -> Any:
        if narrowing.get("limit"):
            raise RuntimeError("limit is not implemented")
        return super().list(config, **narrowing)


_WRONG = KnownFailure("ignores limit")
_RAISED = KnownFailure("rejects limit", kind=FailureKind.RAISED, message="not implemented")


@pytest.mark.parametrize(
    ("saver", "known", "status"),
    [
        (_NoLimit, "ignores limit", Status.KNOWN_FAILURE),
        (_NoLimit, replace(_WRONG, message="listed"), Status.KNOWN_FAILURE),
        (_NoLimit, replace(_WRONG, message="got"), Status.FAILED),
        (_NoLimit, replace(_WRONG, api=Api.SYNC), Status.FAILED),
        (_NoLimit, _RAISED, Status.FAILED),
        (_RaisingLimit, _WRONG, Status.FAILED),
        (_RaisingLimit, _RAISED, Status.KNOWN_FAILURE),
        (_RaisingLimit, [_RAISED, _WRONG], Status.UNEXPECTED_PASS),
        (_NoSyncLimit, replace(_WRONG, api=Api.SYNC), Status.KNOWN_FAILURE),
        (_NoSyncLimit, _WRONG, Status.UNEXPECTED_PASS),
        (_NoSyncLimit, replace(_WRONG, api=Api.ASYNC), Status.FAILED),
        (ReferenceSaver, _WRONG, Status.UNEXPECTED_PASS),
        (ReferenceSaver, [], Status.PASSED),
    ],
)
def test_known_failure_is_pinned(saver: type[ReferenceSaver], known: Any, status: Status) -> None:
    declared = {"list.limit": known} if known else {}
    spec = SaverSpec(name="known", open=lambda path: saver(), known_failures=declared)
    report = run(spec, profile=FAST, seed=0, only=["list.limit"])
    assert report["list.limit"].status is status
    assert report.ok is (status in (Status.KNOWN_FAILURE, Status.PASSED))


def test_both_apis_run_after_a_failure() -> None:
    class Broken(_NoLimit):
        async def alist(self, config: Any, **narrowing: Any) -> Any:
            raise RuntimeError("alist is broken")
            yield

    spec = SaverSpec(name="broken", open=lambda path: Broken())
    result = run(spec, profile=FAST, seed=0, only=["list.limit"])["list.limit"]
    assert [(f.api, f.kind) for f in result.failures] == [
        ("sync", FailureKind.WRONG),
        ("async", FailureKind.RAISED),
    ]
    assert result.failure is result.failures[0]
