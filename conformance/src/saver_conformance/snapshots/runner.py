"""Running the checks on a snapshot store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saver_conformance import store_checks
from saver_conformance.snapshots.checks import CHECKS
from saver_conformance.store_checks import DEFAULT_EXAMPLES, CheckResult
from saver_conformance.store_checks import StoreViolation as SnapshotViolation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saver_conformance.snapshots.spec import SnapshotStoreSpec

__all__ = ["CheckResult", "SnapshotViolation", "check", "run_checks"]


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
    return store_checks.run_checks(CHECKS, spec, examples, only)


def check(spec: SnapshotStoreSpec, examples: int = DEFAULT_EXAMPLES) -> None:
    """Check a store.

    Args:
        spec: The store.
        examples: The number of examples of each property.

    Raises:
        SnapshotViolation: A check failed, or passed although the spec declares it as failing.
    """
    store_checks.require(CHECKS, spec, examples)
