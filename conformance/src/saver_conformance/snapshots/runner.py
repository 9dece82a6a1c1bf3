"""Running the checks on a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from saver_conformance.result import Status
from saver_conformance.snapshots.checks import CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saver_conformance.snapshots.spec import SnapshotStoreSpec

DEFAULT_EXAMPLES = 100
"""Examples of each property."""


class SnapshotViolation(AssertionError):  # noqa: N818 - the name of a result, not of a bug here
    """A store that breaks rules. Its text has the failed checks."""


class CheckResult(NamedTuple):
    """A result of one check."""

    status: Status
    """Passed or failed; or, of a check that the spec declares as failing, a known failure or an
    unexpected pass."""
    error: Exception | None
    """What the check raised."""
    reason: str | None
    """The reason that the spec declares."""

    def __str__(self) -> str:
        error = None if self.error is None else f"{type(self.error).__name__}: {self.error}"
        return ": ".join(filter(None, (str(self.status), self.reason, error)))


def run_checks(
    spec: SnapshotStoreSpec,
    examples: int = DEFAULT_EXAMPLES,
    only: Iterable[str] | None = None,
) -> dict[str, CheckResult]:
    """Return the result of each check.

    Args:
        spec: The store.
        examples: The number of examples of each property.
        only: Names of checks. None: all.

    Raises:
        ValueError: The spec declares a failure of an unknown check.
    """
    unknown = spec.known_failures.keys() - CHECKS.keys()
    if unknown:
        raise ValueError(f"known_failures must name checks, got {sorted(unknown)}")
    return {name: _run_check(spec, examples, name) for name in only or CHECKS}


def _run_check(spec: SnapshotStoreSpec, examples: int, name: str) -> CheckResult:
    reason = spec.known_failures.get(name)
    try:
        CHECKS[name](spec, examples)
    except Exception as error:  # noqa: BLE001 - a store may raise anything
        status = Status.FAILED if reason is None else Status.KNOWN_FAILURE
        return CheckResult(status, error, reason)
    return CheckResult(Status.PASSED if reason is None else Status.UNEXPECTED_PASS, None, reason)


def check(spec: SnapshotStoreSpec, examples: int = DEFAULT_EXAMPLES) -> None:
    """Check a store.

    Args:
        spec: The store.
        examples: The number of examples of each property.

    Raises:
        SnapshotViolation: A check failed, or passed although the spec declares it as failing.
    """
    bad = {name: found for name, found in run_checks(spec, examples).items() if found.status.bad}
    if bad:
        lines = [f"{name}: {found}" for name, found in bad.items()]
        raise SnapshotViolation("\n".join([f"{spec.name} fails {len(bad)} checks", *lines]))
