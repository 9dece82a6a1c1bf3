"""Running the checks on a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saver_conformance.snapshots.checks import CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saver_conformance.snapshots.spec import SnapshotStoreSpec

DEFAULT_EXAMPLES = 100
"""Examples of each property."""


class SnapshotViolation(AssertionError):  # noqa: N818 - the name of a result, not of a bug here
    """A store that breaks rules. Its text has the failed checks."""


def run_checks(
    spec: SnapshotStoreSpec,
    examples: int = DEFAULT_EXAMPLES,
    only: Iterable[str] | None = None,
) -> dict[str, Exception | None]:
    """Return the error of each check, or None if the store passed it.

    Args:
        spec: The store.
        examples: The number of examples of each property.
        only: Names of checks. None: all.
    """
    found: dict[str, Exception | None] = {}
    for name in CHECKS if only is None else only:
        try:
            CHECKS[name](spec, examples)
        except Exception as error:  # noqa: BLE001 - a store may raise anything
            found[name] = error
        else:
            found[name] = None
    return found


def check(spec: SnapshotStoreSpec, examples: int = DEFAULT_EXAMPLES) -> None:
    """Check a store.

    Args:
        spec: The store.
        examples: The number of examples of each property.

    Raises:
        SnapshotViolation: A check failed.
    """
    failed = {name: error for name, error in run_checks(spec, examples).items() if error}
    if failed:
        lines = [f"{name}: {type(e).__name__}: {e}" for name, e in failed.items()]
        raise SnapshotViolation("\n".join([f"{spec.name} fails {len(failed)} checks", *lines]))
