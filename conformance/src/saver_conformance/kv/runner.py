"""Running the checks on a key-value store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saver_conformance import store_checks
from saver_conformance.kv.checks import CHECKS
from saver_conformance.store_checks import DEFAULT_EXAMPLES, CheckResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saver_conformance.kv.spec import KeyValueSpec


def run_checks(
    spec: KeyValueSpec,
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
    with spec.lifespan():
        return store_checks.run_checks(CHECKS, spec, examples, only)


def check(spec: KeyValueSpec, examples: int = DEFAULT_EXAMPLES) -> None:
    """Check a store.

    Args:
        spec: The store.
        examples: The number of examples of each property.

    Raises:
        StoreViolation: A check failed, or passed although the spec declares it as failing.
    """
    with spec.lifespan():
        store_checks.require(CHECKS, spec, examples)
